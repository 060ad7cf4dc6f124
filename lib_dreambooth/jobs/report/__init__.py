"""What a run was and how it went, read from the model folder alone, as Markdown and as one HTML file."""
