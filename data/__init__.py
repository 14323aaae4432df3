"""Videos: find, label, split, decode, and crop the face. The bottom of the house."""
