"""Conditioned features: embeddings mapped to few, well scaled dimensions, and kept on disk."""
