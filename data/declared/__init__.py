"""What a video file says of itself: container, tags, edit lists, Content Credentials."""
