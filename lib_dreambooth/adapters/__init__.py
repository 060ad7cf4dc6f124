"""What is trained: low-rank weights beside a model's own, LyCORIS, whole weights, words."""
