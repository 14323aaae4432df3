"""Judging: the processes that do it, and who watches them."""
