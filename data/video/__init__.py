"""One video: ffmpeg, what a file says of itself, which frames are taken, their pixels."""
