"""Sections that pages share or that stand for themselves: the case file, what a file declares."""
