"""A frozen cascade and its evidence: a folder with one content hash, what points to it, what answers from it, and trials."""
