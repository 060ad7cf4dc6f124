"""Data that ships with the package: CLIP's merges, the miniature, and what drew and trained it."""

from pathlib import Path

ASSETS_DIR = Path(__file__).resolve().parent
CLIP_MERGES = ASSETS_DIR / "clip" / "bpe_simple_vocab_16e6.txt.gz"
MINI_CHECKPOINT = ASSETS_DIR / "mini" / "mini.safetensors"
