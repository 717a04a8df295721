"""A first recipe from files: what their columns are, and settings by the size of the data."""
