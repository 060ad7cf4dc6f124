"""The `modelspec.` keys: Stability AI's model metadata standard, version 1.0.0."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any

from lib_dreambooth import __version__
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.facts import BaseFacts
from lib_dreambooth.training.export.privacy import without_paths
from lib_dreambooth.training.export.result import ADAPTER, DIFFUSERS, EMBEDDING

HASH_KEY = "modelspec.hash_sha256"
HASH_START = "0x"
THUMBNAIL_KEY = "modelspec.thumbnail"
ARCHITECTURES = {
    ("sd1", False): "stable-diffusion-v1",
    ("sd1", True): "stable-diffusion-v1",
    ("sd2", False): "stable-diffusion-v2-512",
    ("sd2", True): "stable-diffusion-v2-768-v",
    ("sdxl", False): "stable-diffusion-xl-v1-base",
    ("sdxl", True): "stable-diffusion-xl-v1-base",
}
KINDS = {ADAPTER: "/lora", EMBEDDING: "/textual-inversion"}
STABILITY = "https://github.com/Stability-AI/generative-models"
DIFFUSERS_CODE = "diffusers"
PREDICTIONS = {"epsilon": "epsilon", "v": "v", "sample": "sample"}
NUM_TIMESTEPS = 1000


def model_spec(run: Run, base: BaseFacts, kind: str, name: str, now: float, trigger: str) -> dict[str, str]:
    """All keys but hash and thumbnail; empty ones are left out."""
    about = run.metadata
    found: dict[str, Any] = {
        "sai_model_spec": "1.0.0",
        "architecture": ARCHITECTURES[base.family, base.prediction == "v"] + KINDS.get(kind, ""),
        "implementation": implementation(base, kind),
        "implementation_version": f"sd-webui-dreambooth/{__version__}",
        "title": about.title or name,
        "date": datetime.fromtimestamp(int(now), timezone.utc).isoformat(),
        "resolution": resolution(run, base),
        "prediction_type": PREDICTIONS[base.prediction],
        "encoder_layer": "" if base.family == "sdxl" else str(run.model.clip_skip),
        "timestep_range": timestep_range(run),
        "trigger_phrase": trigger,
        "author": about.author,
        "description": about.description,
        "license": about.license,
        "tags": ",".join(about.tags),
        "usage_hint": about.usage,
        "is_negative_embedding": "true" if kind == EMBEDDING and about.negative_embedding else "",
    }
    return {f"modelspec.{key}": text_of(key, value) for key, value in found.items() if value}


def text_of(key: str, value: str) -> str:
    """What a person wrote, without paths."""
    return value if key == "implementation" else without_paths(value)


def implementation(base: BaseFacts, kind: str) -> str:
    """Whose code the keys of the file follow."""
    is_diffusers = kind == DIFFUSERS or (kind == ADAPTER and base.family in ("sd1", "sd2"))
    return DIFFUSERS_CODE if is_diffusers else STABILITY


def resolution(run: Run, base: BaseFacts) -> str:
    """Width and height that it was trained at."""
    size = run.pictures.resolution
    width, height = (base.native_size,) * 2 if size.is_auto else (size.width, size.height)
    return f"{width}x{height}"


def timestep_range(run: Run) -> str:
    """Only where it is not the whole."""
    first, last = run.noise.first_timestep, run.noise.last_timestep
    return f"{first},{last}" if (first, last) != (0, NUM_TIMESTEPS) else ""


def thumbnail_url(picture: bytes) -> str:
    """A picture as the text of an address that holds it."""
    kind = "png" if picture.startswith(b"\x89PNG") else "webp" if picture[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
