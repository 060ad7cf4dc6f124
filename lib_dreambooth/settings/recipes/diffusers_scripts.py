"""What each of diffusers' training scripts trains, and what it does by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Script:
    """A script: what it trains, and the defaults in which it differs from the others."""

    is_network: bool
    family: str
    by_prompt: bool
    words: bool
    silence: tuple[tuple[str, str, Any], ...]


def script_of(name: str) -> Script:
    """What a script's name tells."""
    stem = name.lower().removesuffix(".py")
    words = "inversion" in stem
    network = "lora" in stem
    family = "sdxl" if "sdxl" in stem else "auto"
    by_prompt = "dreambooth" in stem
    rate = {"train_dreambooth": 5e-6, "train_dreambooth_lora": 5e-4}.get(stem, 1e-4)
    batch = 16 if not by_prompt else 4
    steps = "5000 steps" if words else ""
    epochs = f"{1 if by_prompt else 100} epochs"
    return Script(
        network,
        family,
        by_prompt,
        words,
        (
            ("learning_rate", "rates.learning_rate", rate),
            ("train_batch_size", "length.batch_size", batch),
            ("max_train_steps" if words else "num_train_epochs", "length.train_for", steps or epochs),
            ("resolution", "pictures.resolution", "1024x1024" if family == "sdxl" else "512x512"),
            ("name of the script", "model.family", family),
            *((("rank", "network.rank", 4),) if network else ()),
            *((("num_vectors", "words.0.vectors", 1),) if words else ()),
        ),
    )


SILENCE: tuple[tuple[str, str, Any], ...] = (
    ("no buckets", "pictures.buckets", False),
    ("center_crop", "pictures.crop", "random"),
    ("no cache of cut pictures", "pictures.crops_per_picture", 0),
    ("lr_scheduler", "rates.schedule", "constant"),
    ("adam_weight_decay", "optimizer.weight_decay", 0.01),
    ("max_grad_norm", "optimizer.max_grad_norm", 1.0),
    ("snr_gamma", "loss.min_snr_gamma", 0.0),
    ("mixed_precision", "precision.mixed", "no"),
    ("length of captions", "captions.max_tokens", 75),
    ("no tags are kept", "captions.keep_tokens", 0),
    ("no masks", "pictures.masks", False),
    ("terminal noise", "noise.zero_terminal", "off"),
    ("no files in between", "saving.every", "never"),
    ("validation_prompt", "previews.every", "never"),
    ("validation_prompt", "previews.at_start", False),
    ("validation_prompt", "previews.at_end", False),
)
