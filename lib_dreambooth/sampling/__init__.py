"""Pictures out: the generator, its samplers and noise, previews, class pictures, grids."""
