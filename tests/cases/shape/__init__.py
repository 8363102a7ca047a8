"""Elements in another place or shape."""
