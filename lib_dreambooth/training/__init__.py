"""The loop: what is trained on which batches towards which target."""
