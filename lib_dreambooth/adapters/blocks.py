"""Blocks of a UNet: their numbers in kohya's lists and their names in settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lib_dreambooth.adapters.patterns import fits
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import UNET

LDM_NAMES = "diffusion_model."
PER_LEVEL = 3
MIDDLE = 12
SD_LAST, SDXL_LAST = 24, 22
_OWN = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)")
_ORIGINAL = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)")
_SDXL_STARTS = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}


def num_blocks(family: str) -> int:
    """How long kohya's lists are."""
    return (SDXL_LAST if family.startswith("sdxl") else SD_LAST) + 1


def original_names(names: AdapterNames) -> dict[Target, str]:
    """The UNet's layers in the original naming, such as `input_blocks.1.1.proj_in`."""
    return {
        target: name.removeprefix(LDM_NAMES)
        for name, target in names.read.items()
        if name.startswith(LDM_NAMES)
    }


def block_numbers(names: AdapterNames, family: str) -> dict[Target, int]:
    """Each UNet layer's place in a list of blocks.

    SD 1.x and 2.x: 12 down, the middle, 12 up. SDXL: embeddings, 9 in, 3 in the middle, 9 out, the end.
    What lies before the first block counts as the first and what lies behind the last as the last; no LoRA
    is there.
    """
    if family.startswith("sdxl"):
        return {target: _sdxl_number(name) for target, name in original_names(names).items()}
    return {target: _sd_number(target.path) for target in names.shapes if target.part == UNET}


def of_block(values: Sequence[float], number: int, family: str, where: str) -> float:
    """The value of a block in a list; UserError for lists of another length."""
    if len(values) != num_blocks(family):
        raise UserError(
            f"has {len(values)} numbers, and this model has {num_blocks(family)} blocks.",
            where=where,
            todo="Give one number for each block, from input to output.",
            code="wrong-length",
        )
    return values[number]


def names_of_block(target: Target, originals: Mapping[Target, str]) -> tuple[str, ...]:
    """What a pattern may call a layer's block: `up`, `up.1`, `up_blocks.1`, `output_blocks.4`, a path."""
    first, _, rest = target.path.partition(".")
    short = first.removesuffix("_blocks").removesuffix("_block")
    number = rest.partition(".")[0]
    numbered = [f"{first}.{number}", f"{short}.{number}"] if first.endswith("_blocks") else []
    original = _ORIGINAL.match(originals.get(target, ""))
    side = [original[1], original[0]] if original else []
    return (first, short, *numbered, *side, target.path, f"{UNET}.{target.path}")


def is_in_block(pattern: str, target: Target, originals: Mapping[Target, str]) -> bool:
    """Whether a UNet layer lies in a block that the pattern means."""
    return any(fits(pattern, name) for name in names_of_block(target, originals))


def _sd_number(path: str) -> int:
    match = _OWN.match(path)
    if match is None:
        return MIDDLE if path.startswith("mid_block") else _edge(path, SD_LAST)
    within = int(match[4]) if match[3] in ("resnets", "attentions") else PER_LEVEL - 1
    before = 1 if match[1] == "down" else MIDDLE + 1
    return before + PER_LEVEL * int(match[2]) + within


def _sdxl_number(original: str) -> int:
    match = _ORIGINAL.match(original)
    return _SDXL_STARTS[match[1]] + int(match[2]) if match else _edge(original, SDXL_LAST)


def _edge(path: str, last: int) -> int:
    return last if path.startswith(("out.", "conv_out", "conv_norm_out")) else 0
