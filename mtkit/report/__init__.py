"""What a run found, as a page for people and as figures, from what its directory keeps."""
