"""What one micro-batch is to learn: noise, noise level, target, and how much each picture's error counts."""
