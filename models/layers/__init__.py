"""Layers of heads: in Keras, to train, and in NumPy, to score."""
