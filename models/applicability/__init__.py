"""Whether what a bundle says holds for a video: is it like those of training, is it one image."""
