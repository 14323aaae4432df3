"""Case files: a verdict with everything that it rests on, in a folder that shows any change."""
