"""Tags: put on by a tagger, edited over many files with undo, and proposed for removal with a reason."""
