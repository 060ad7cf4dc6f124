"""The optimizers by name, with rates for each part, exact state, and half weights."""
