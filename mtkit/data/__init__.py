"""Raw tables to catalogs, histories, labels and row tables, as of a cut (no TensorFlow)."""
