"""Two versions of one scene: which of them is forged."""
