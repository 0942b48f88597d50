"""Jobs of one's own for each visitor who is not logged in, by session."""
