"""Names of modules in LoRA files of other tools, as kohya's files have them."""

from __future__ import annotations

from lib_dreambooth.formats.adapter_names import TEXT_PREFIXES, UNET_PREFIX, underscored
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET

# PEFT's and diffusers' beginnings, the longer ones first.
BEGINNINGS = (
    ("base_model.model.", UNET),
    ("model.diffusion_model.", UNET),
    ("diffusion_model.", UNET),
    ("unet.", UNET),
    ("text_encoder_2.", TEXT_2),
    ("text_encoder.", TEXT),
)


def kohya_name(name: str, family: str) -> str:
    """A dotted name with underscores and kohya's prefix; other names as they are."""
    found = next(((start, part) for start, part in BEGINNINGS if name.startswith(start)), None)
    if found is None or "processor" in name:
        return name
    start, part = found
    path = name.removeprefix(start)
    if part == UNET:
        return underscored(UNET_PREFIX, path)
    prefix = TEXT_PREFIXES.get(family, TEXT_PREFIXES["sd1"]).get(part)
    if prefix is None:
        return name
    return underscored(prefix, path if path.startswith("text_") else f"text_model.{path}")
