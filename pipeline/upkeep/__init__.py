"""Use cases of the store's upkeep."""
