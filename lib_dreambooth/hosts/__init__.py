"""Where this program lives: in a WebUI, or in plain folders."""
