"""Kinds of `unmask evaluate` that have options of their own."""
