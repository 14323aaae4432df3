"""Stage one: videos in, embedding sequences in the store."""
