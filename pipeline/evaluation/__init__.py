"""Use cases that measure a bundle."""
