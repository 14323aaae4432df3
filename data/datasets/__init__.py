"""Data sets: layouts as downloaded, labels, groups, splits, the manifest."""
