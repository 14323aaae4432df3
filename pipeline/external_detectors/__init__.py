"""Detectors that are not unmask's, measured by the scores that they wrote to files."""
