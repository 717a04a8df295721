"""Runs of recipes, their directories, and what a person sees of them."""
