"""Embedding sequences: what they are keyed by, how they are made, kept and read. No TensorFlow."""
