"""Heads: architectures and their training on cached sequences."""
