"""How the miniature was made: a small Stable Diffusion 1 trained from nothing on drawn shapes, on a CPU.

`python -m lib_dreambooth.assets.make_mini --to FOLDER` goes on from what FOLDER holds.
"""
