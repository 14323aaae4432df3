"""Use cases that judge new videos."""
