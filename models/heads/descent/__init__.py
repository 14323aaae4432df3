"""Gradient descent of heads: batches of an epoch, and steps that are compiled once."""
