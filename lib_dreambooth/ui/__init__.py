"""What a person sees: one place in the host's page that our JavaScript fills."""
