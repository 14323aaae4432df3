"""Two videos of one scene: where and when they show the same, and how their faces differ."""
