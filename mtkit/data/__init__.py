"""From raw tables to batches: cuts, catalogs, as-of histories, row tables."""
