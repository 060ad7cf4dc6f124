"""Memory, time and disk of a run, before any weight is read."""
