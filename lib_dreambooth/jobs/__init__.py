"""Whole jobs from settings to files, one after the other."""
