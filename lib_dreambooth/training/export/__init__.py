"""What was trained as files that hosts read: names, metadata, side files, space, and what is kept."""
