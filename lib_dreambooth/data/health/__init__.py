"""What is wrong with a dataset, what it will do to training and what to do about it; nothing is changed."""
