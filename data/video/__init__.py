"""One video: ffmpeg, headers and packets, which frames are taken, their pixels."""
