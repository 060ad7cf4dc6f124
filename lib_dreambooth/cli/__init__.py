"""The command line: one small file for each command, and a table of them."""
