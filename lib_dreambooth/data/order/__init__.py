"""Which pictures stand in which batch of which step: a function of items, settings and seed alone."""
