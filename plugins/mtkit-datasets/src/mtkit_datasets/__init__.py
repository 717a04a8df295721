"""Public data sets as mtkit data sources."""
