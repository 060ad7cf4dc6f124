"""Steps with fewer operators and less Python."""
