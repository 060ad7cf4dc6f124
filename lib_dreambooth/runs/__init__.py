"""The model folder: what a run is, what happens in it, what may be asked of it, and what it left."""
