"""Patterns of layer names, as settings have them: `*` for any text.

A layer's name is its part and its path, such as `unet.mid_block.attentions.0.proj_in` or
`text_encoder.text_model.encoder.layers.3.mlp.fc1`. Understood too are the UNet's paths without `unet.`, text
encoders' without `text_model.`, `text_encoder_1` as the settings call the first, and kohya's names
(`lora_unet_*`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from lib_dreambooth.adapters.targets import TEXT_PREFIX
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import TEXT, UNET

Value = TypeVar("Value")
MOST_NAMED = 3


def fits(pattern: str, name: str) -> bool:
    """Whether the whole name is what the pattern says; upper and lower case differ."""
    expression = ".*".join(re.escape(piece) for piece in pattern.strip().split("*"))
    return re.fullmatch(expression, name) is not None


def names_of_layer(target: Target, names: AdapterNames) -> tuple[str, ...]:
    """Every name that a pattern may mean a layer by."""
    part, path = target
    if part == UNET:
        found = [f"{UNET}.{path}", path]
    else:
        heads = [part, "text_encoder_1"] if part == TEXT else [part]
        tails = [path, path.removeprefix(TEXT_PREFIX)]
        found = [f"{head}.{tail}" for head in heads for tail in tails]
    return (*found, *([names.written[target]] if target in names.written else []))


def is_meant(pattern: str, target: Target, names: AdapterNames) -> bool:
    """Whether a pattern means a layer."""
    return any(fits(pattern, name) for name in names_of_layer(target, names))


def first_that_fits(patterns: Mapping[str, Value], target: Target, names: AdapterNames) -> Value | None:
    """The value of the first pattern that means the layer."""
    return next((value for pattern, value in patterns.items() if is_meant(pattern, target, names)), None)


def like(pattern: str, names: Iterable[str]) -> str:
    """The names most like what a pattern says, for a sentence."""
    found = difflib.get_close_matches(pattern.replace("*", ""), known := list(names), MOST_NAMED, cutoff=0.0)
    return ", ".join(f"`{name}`" for name in found or known[:1])


def useless_patterns(
    where: str, patterns: Iterable[str], layers: Iterable[Target], names: AdapterNames
) -> list[UserError]:
    """A sentence for each pattern that means none of the layers."""
    layers = list(layers)
    known = [".".join(layer) for layer in layers] or ["unet.mid_block.attentions.0.proj_in"]
    return [
        UserError(
            f"no layer that can be trained here is called `{pattern}`.",
            where=where,
            todo=f"Layers are called like {like(pattern, known)}; * stands for any text.",
            code="no-such-layer",
        )
        for pattern in patterns
        if not any(is_meant(pattern, layer, names) for layer in layers)
    ]
