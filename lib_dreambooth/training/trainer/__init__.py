"""The loop: a run from its first phase to its last, told in events and steered by commands."""
