"""Faces: detector, landmarks, the tracker, crops."""
