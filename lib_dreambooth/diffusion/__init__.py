"""Pure maths of diffusion: schedules, targets, timesteps, weighting, losses, counter-based draws."""
