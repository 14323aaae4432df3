"""Data sets: layouts as downloaded, labels, groups, splits and the manifest."""
