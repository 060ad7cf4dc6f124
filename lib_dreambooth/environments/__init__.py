"""Where the program runs: finding a Python, making an environment, adding packages to a WebUI's."""
