"""What differs between the families and cannot be read off the tensors."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.formats.kinds import FileKind

END_PADDING = 49407  # the end token itself
ZERO_PADDING = 0


@dataclass(frozen=True)
class TextRule:
    """Which of a text encoder's states a family uses."""

    pad_id: int
    layer: int  # counted from the end: 1 is the last, 2 the one before
    has_final_norm: bool  # whether the last normalisation follows, whichever layer it is
    takes_clip_skip: bool  # in the WebUI
    is_pooled: bool = False  # whether the projected state at the end token is used as well


@dataclass(frozen=True)
class Family:
    """One family of Stable Diffusion."""

    name: str
    latent_scale: float
    native_size: int  # pixels along a side that it was trained on
    text: MappingProxyType[str, TextRule]
    has_size_ids: bool = False
    # Where the decoder's activations leave the range of float16.
    is_half_vae_safe: bool = True


_CLIP_L = TextRule(END_PADDING, 1, has_final_norm=True, takes_clip_skip=True)
_CLIP_H = TextRule(ZERO_PADDING, 2, has_final_norm=True, takes_clip_skip=False)
_XL_CLIP_L = TextRule(END_PADDING, 2, has_final_norm=False, takes_clip_skip=False)
_XL_CLIP_G = TextRule(ZERO_PADDING, 2, has_final_norm=False, takes_clip_skip=False, is_pooled=True)

FAMILIES: MappingProxyType[str, Family] = MappingProxyType(
    {
        "sd1": Family("sd1", 0.18215, 512, MappingProxyType({TEXT: _CLIP_L})),
        "sd2": Family("sd2", 0.18215, 768, MappingProxyType({TEXT: _CLIP_H})),
        "sdxl": Family(
            "sdxl",
            0.13025,
            1024,
            MappingProxyType({TEXT: _XL_CLIP_L, TEXT_2: _XL_CLIP_G}),
            has_size_ids=True,
            is_half_vae_safe=False,
        ),
    }
)

# The bundled miniature's text is as narrow as its pictures are small.
MINI_TEXT_WIDTH, MINI_SIZE = 64, 128


def native_side(kind: FileKind) -> int:
    """The side of the pictures that a checkpoint was trained on, in pixels."""
    is_mini = kind.unet is not None and kind.unet.context_width <= MINI_TEXT_WIDTH
    return MINI_SIZE if is_mini else FAMILIES[kind.family].native_size
