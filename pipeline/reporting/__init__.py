"""Pages: they render results, and compute nothing."""
