"""Commands that look after unmask itself: its store, and `doctor`."""
