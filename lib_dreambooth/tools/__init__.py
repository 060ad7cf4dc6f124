"""Jobs on finished files: put the miniature into a WebUI, convert, merge, resize, compare."""
