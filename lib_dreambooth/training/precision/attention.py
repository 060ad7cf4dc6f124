"""How a UNet computes attention during a run; afterwards it is as it was."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.models.unet_layers import SDPA, SLICED, XFORMERS, by_xformers

ATTENTION = "memory.attention"
# Places, heads and the width of one in the trial of a package.
TRIAL = (1, 2, 2, 40)


@contextmanager
def attention(unet: Any, setting: str) -> Iterator[None]:
    """A UNet with the attention that the setting names, while inside."""
    kind = chosen(setting)
    layers = [(layer, layer.kind) for layer in unet.attentions]
    if kind == XFORMERS:
        require_working(next(unet.parameters()))
    try:
        for layer, _ in layers:
            layer.kind = kind
        yield
    finally:
        for layer, before in layers:
            layer.kind = before


def chosen(setting: str) -> str:
    """The kind that a setting means; raises MissingPackage for one that is not here."""
    if setting == XFORMERS and importlib.util.find_spec(XFORMERS) is None:
        raise MissingPackage(
            "xFormers is not installed here.",
            where=ATTENTION,
            todo="Choose PyTorch, which is about as fast, or add the package xformers to the WebUI.",
        )
    # PyTorch's own has the same kernels as xFormers since 2.1, and needs no package.
    assert setting in ("auto", SDPA, SLICED, XFORMERS), setting
    return SDPA if setting == "auto" else setting


def require_working(like: torch.Tensor) -> None:
    """Raises UserError where xFormers cannot compute on the device of a tensor and in its numbers."""
    trial = torch.zeros(TRIAL, device=like.device, dtype=like.dtype)
    try:
        by_xformers(trial, trial, trial)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        # Built for another PyTorch or card, or no card at all.
        raise UserError(
            f"xFormers does not work here: {error}",
            where=ATTENTION,
            todo="Choose PyTorch, which is about as fast.",
            code="no-xformers",
        ) from error
