"""Pictures drawn while a run is under way: with which prompts, and how."""
