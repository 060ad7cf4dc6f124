"""Names of modules in LoRA files: kohya's with underscores, diffusers' and PEFT's with dots.

A module of ours is a `Target`: the part and the path inside it in our naming (`text_model.` included).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from lib_dreambooth.formats.clip_keys import ClipLayout, hf_links
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.unet_keys import unet_modules
from lib_dreambooth.formats.unet_layout import UNetLayout

# kohya's prefixes; SDXL has two text encoders.
TEXT_PREFIXES = {
    "sd1": {TEXT: "lora_te"},
    "sd2": {TEXT: "lora_te"},
    "sdxl": {TEXT: "lora_te1", TEXT_2: "lora_te2"},
    "sdxl-refiner": {TEXT_2: "lora_te2"},
}
UNET_PREFIX = "lora_unet"
# A1111 reckons a layer's place from diffusers' names with so many residual blocks in each level.
A1111_NUM_RESNETS = 2
# Early diffusers named a text encoder's layers after the UNet's.
EARLY_TEXT_NAMES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


class Target(NamedTuple):
    """One module of a model."""

    part: str
    path: str


@dataclass(frozen=True)
class AdapterNames:
    """Both directions between a model's modules and their names in a file.

    `written` are the names that people know, also for settings and draws; `in_file` are the same but for
    models of a depth that hosts do not reckon with.
    """

    written: Mapping[Target, str]
    in_file: Mapping[Target, str]
    read: Mapping[str, Target]
    shapes: Mapping[Target, Shape]  # of each module's weight

    def target_of(self, name: str) -> Target | None:
        """The module that a name in a file means, or None where the model has none."""
        return self.read.get(name) or self.read.get(_plain(name))


def adapter_names(
    family: str, unet: UNetLayout | None = None, encoders: Mapping[str, ClipLayout] | None = None
) -> AdapterNames:
    """All modules of a model with their names.

    Written are diffusers' names for SD1 and SD2 and the original ones for SDXL: every host finds every layer
    under these. For an SD1 or SD2 with another number of layers that holds for the original ones alone. Read
    are both, and the dotted ones.
    """
    return _adapter_names(family, unet, tuple((encoders or {}).items()))


# A run asks for them at each of its checks.
@lru_cache(maxsize=8)
def _adapter_names(
    family: str, unet: UNetLayout | None, encoders: tuple[tuple[str, ClipLayout], ...]
) -> AdapterNames:
    written: dict[Target, str] = {}
    in_file: dict[Target, str] = {}
    read: dict[str, Target] = {}
    shapes: dict[Target, Shape] = {}
    for module in unet_modules(unet) if unet is not None else ():
        target = Target(UNET, module.name)
        original = underscored(UNET_PREFIX, module.ldm)
        is_original = family.startswith("sdxl")
        written[target] = original if is_original else underscored(UNET_PREFIX, module.name)
        in_file[target] = written[target] if has_usual_depth(unet) else original
        shapes[target] = module.shapes["weight"]
        read.update((name, target) for name in _unet_names(module.name, module.ldm))
    for part, layout in encoders:
        prefix = TEXT_PREFIXES[family][part]
        for path, shape in _text_modules(layout):
            target = Target(part, path)
            written[target] = in_file[target] = underscored(prefix, path)
            shapes[target] = shape
            read.update((name, target) for name in _text_names(part, prefix, path))
    return AdapterNames(written, in_file, read, shapes)


def names_of(kind: FileKind) -> AdapterNames:
    """The names for a checkpoint's modules."""
    encoders = {part: layout for part in (TEXT, TEXT_2) if (layout := kind.text_encoder(part)) is not None}
    return adapter_names(kind.family, kind.unet, encoders)


def has_usual_depth(unet: UNetLayout | None) -> bool:
    """Whether every level has as many residual blocks as in Stable Diffusion; the miniature has fewer."""
    return unet is None or all(len(level) == A1111_NUM_RESNETS for level in unet.down_depths)


def underscored(prefix: str, path: str) -> str:
    """A module's path as one word, as kohya's files have it."""
    return f"{prefix}_{path.replace('.', '_')}"


def _unet_names(own: str, ldm: str) -> Iterator[str]:
    for prefix in (UNET_PREFIX, "oft_unet", "lycoris"):
        yield underscored(prefix, own)
        yield underscored(prefix, ldm)
    yield from (own, f"unet.{own}", f"base_model.model.{own}")
    yield from (f"diffusion_model.{ldm}", f"model.diffusion_model.{ldm}")


def _text_names(part: str, prefix: str, path: str) -> Iterator[str]:
    yield underscored(prefix, path)
    yield f"{part}.{path}"
    yield f"{part}.{path.removeprefix('text_model.')}"


def _text_modules(layout: ClipLayout) -> Iterator[tuple[str, Shape]]:
    for link in hf_links(layout):
        path, _, parameter = link.key.rpartition(".")
        if parameter == "weight":
            yield path, link.shape


def _plain(name: str) -> str:
    """Today's dotted name for one of early diffusers, where attention's processors held the layers."""
    words = [word for word in name.split(".") if word != "processor"]
    if words[0] == UNET and words[-1] == "to_out":
        return ".".join([*words, "0"])
    if words[0] in (TEXT, TEXT_2) and words[-1] in EARLY_TEXT_NAMES:
        return ".".join([*words[:-1], EARLY_TEXT_NAMES[words[-1]]])
    return ".".join(words)
