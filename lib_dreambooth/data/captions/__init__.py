"""Captions: read from whatever the user has, then turned into the words that each visit trains on."""
