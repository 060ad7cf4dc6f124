"""What is encoded once and used often: latents and text states, found by the content they were made from."""
