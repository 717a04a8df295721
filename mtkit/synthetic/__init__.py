"""Data that are made up, with structure that is known: what a model could find in them at best is on record."""
