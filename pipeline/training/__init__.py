"""Use cases that train: a head on cached features, a backbone on face crops."""
