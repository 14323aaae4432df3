"""Images: single ones, and folders of numbered ones, which are the frames of a video."""
