"""Upkeep of a store: repair, garbage collection, comparison, statistics."""
