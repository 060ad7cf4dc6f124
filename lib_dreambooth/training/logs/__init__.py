"""Curves for other programs: whoever they are written for, they are made of the run's events alone."""
