"""How a UNet computes attention during a run; afterwards it is as it was."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib_dreambooth.base.errors import MissingPackage, UserError

ATTENTION = "memory.attention"


@contextmanager
def attention(unet: Any, setting: str) -> Iterator[None]:
    """diffusers' UNet with the attention that the setting names, while inside."""
    before = dict(unet.attn_processors)
    try:
        apply(unet, chosen(setting))
        yield
    finally:
        unet.set_attn_processor(before)


def chosen(setting: str) -> str:
    """The kind that a setting means; raises MissingPackage for one that is not here."""
    if setting == "xformers" and importlib.util.find_spec("xformers") is None:
        raise MissingPackage(
            "xFormers is not installed here.",
            where=ATTENTION,
            todo="Choose PyTorch, which is about as fast, or add the package xformers to the WebUI.",
        )
    # PyTorch's own has the same kernels as xFormers since 2.1, and needs no package.
    return "sdpa" if setting == "auto" else setting


def apply(unet: Any, kind: str) -> None:
    """Switches every attention layer."""
    if kind == "xformers":
        try:
            unet.enable_xformers_memory_efficient_attention()
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            # Built for another PyTorch or card, or no card at all.
            raise UserError(
                f"xFormers does not work here: {error}",
                where=ATTENTION,
                todo="Choose PyTorch, which is about as fast.",
                code="no-xformers",
            ) from error
    else:
        unet.set_attention_slice("max" if kind == "sliced" else None)
