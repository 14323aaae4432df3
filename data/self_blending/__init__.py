"""Self-made forgeries of real faces: of one clip, of a data set."""
