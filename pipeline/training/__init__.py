"""Use cases that train."""
