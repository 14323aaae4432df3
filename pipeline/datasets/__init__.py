"""Use cases that make or index data sets."""
