"""A run as files that kohya's scripts read."""
