"""The text in a picture from which the WebUI fills its form: PNG's "parameters"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_dreambooth.base.files import replacing
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import SAMPLERS, PictureSettings

Picture = Image.Image

SHORT_HASH = 10


def infotext(
    prompt: str,
    negative: str,
    seed: int,
    settings: PictureSettings,
    *,
    model: str = "",
    model_hash: str = "",
    loras: Sequence[LoraUse] = (),
) -> str:
    """Prompts, and one line of what else the picture depends on; LoRA files as tags in the prompt."""
    text = " ".join([prompt, *(use.tag for use in loras)]).strip()
    if negative:
        text += f"\nNegative prompt: {negative}"
    fields = _fields(seed, settings, model, model_hash)
    line = ", ".join(f"{name}: {_quoted(value)}" for name, value in fields.items() if value not in (None, ""))
    return f"{text}\n{line}".strip()


def save_picture(path: Path | str, picture: Image.Image, text: str) -> None:
    """Writes a PNG with its text, whole or not at all."""
    info = PngInfo()
    info.add_text("parameters", text)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)


def text_in(path: Path | str) -> str:
    """The text of a picture; empty where it has none, or cannot be read."""
    return text_and_size(path)[0]


def text_and_size(path: Path | str) -> tuple[str, tuple[int, int]]:
    """The text of a picture and its width and height; nothing and (0, 0) where it cannot be read."""
    try:
        with Image.open(path) as picture:
            found, size = picture.info.get("parameters", ""), picture.size
    except (OSError, ValueError, SyntaxError):
        return "", (0, 0)
    return found if isinstance(found, str) else "", size


def with_tag(text: str, tag: str) -> str:
    """The same text with a tag behind its prompt; a picture's prompt may have several lines."""
    if not text or not tag:
        return text
    lines = text.split("\n")
    ends = (number for number, line in enumerate(lines) if line.startswith(("Negative prompt: ", "Steps: ")))
    end = next(ends, len(lines))
    if end == 0:
        return "\n".join([tag, *lines])
    return "\n".join([*lines[: end - 1], f"{lines[end - 1]} {tag}".strip(), *lines[end:]])


def _fields(seed: int, settings: PictureSettings, model: str, model_hash: str) -> dict[str, object]:
    """In the order in which the WebUI writes them; what is as it always is stays away."""
    sampler = SAMPLERS[settings.sampler]
    return {
        "Steps": settings.steps,
        "Sampler": sampler.title,
        "Schedule type": sampler.schedule_title,
        "CFG scale": f"{settings.guidance:g}",
        "Seed": seed,
        "Size": f"{settings.width}x{settings.height}",
        "Model hash": model_hash[:SHORT_HASH],
        "Model": model,
        "VAE": settings.vae,
        "Clip skip": settings.clip_skip if settings.clip_skip > 1 else None,
        "ENSD": settings.ensd if settings.ensd and sampler.is_ancestral and settings.eta else None,
        "RNG": settings.noise_source if settings.noise_source != "GPU" else None,
        "Eta": f"{settings.eta:g}" if sampler.is_ancestral and settings.eta != 1.0 else None,
        "Emphasis": settings.emphasis if settings.emphasis != "Original" else None,
        "Noise Schedule": "Zero Terminal SNR" if settings.is_zero_terminal else None,
    }


def _quoted(value: object) -> str:
    """Values that would break the line apart are written as JSON texts."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ",:\n") else text
