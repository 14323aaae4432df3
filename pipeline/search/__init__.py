"""Use case of hyper-parameter search."""
