"""What unmask says of itself: help pages, completion, JSON Schemas of results."""
