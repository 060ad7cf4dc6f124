"""The HTTP routes: everything the page can do, for programs."""
