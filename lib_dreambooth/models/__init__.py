"""A checkpoint as modules: families, prompts to states, pictures to latents."""
