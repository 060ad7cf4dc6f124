"""Computing parts of a model twice in place of keeping what they computed.

Modules are wrapped by path, since libraries switch theirs on in different ways, some of them only in training
mode, and one of them without gradients for an adapter behind frozen embeddings.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lib_dreambooth.formats.keymap import UNET

_UNET_UNIT = re.compile(r"(?:resnets|transformer_blocks)\.\d+$")
_TEXT_UNIT = re.compile(r"encoder\.layers\.\d+$")
_BLOCK = re.compile(r"(?P<side>down|up)_blocks\.(?P<number>\d+)\.attentions\.\d+\.transformer_blocks\.\d+$")
LEVELS = ("off", "some", "on", "offload")


def units(part: str, module: nn.Module, level: str) -> list[str]:
    """The paths of the modules that are computed twice at a level.

    "some" are the transformers at the highest resolution that has any: they hold most for the least work.
    """
    assert level in LEVELS
    if level == "off":
        return []
    names = [name for name, _ in module.named_modules()]
    if part != UNET:
        return [] if level == "some" else [name for name in names if _TEXT_UNIT.search(name)]
    if level == "some":
        return largest(names)
    return [name for name in names if _UNET_UNIT.search(name)]


def largest(names: list[str]) -> list[str]:
    """The transformers of the first block down and the last block up that have any."""
    found = [(name, match) for name in names if (match := _BLOCK.search(name))]
    number = {
        "down": min((int(m["number"]) for _, m in found if m["side"] == "down"), default=-1),
        "up": max((int(m["number"]) for _, m in found if m["side"] == "up"), default=-1),
    }
    return [name for name, match in found if int(match["number"]) == number[match["side"]]]


def twice(forward: Any, *args: Any, **kwargs: Any) -> Any:
    """A forward pass that keeps its inputs only, where gradients are wanted at all."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


@contextmanager
def checkpointing(
    modules: Mapping[str, nn.Module], level: str, twice: Callable[..., Any] = twice
) -> Iterator[AbstractContextManager[Any]]:
    """The parts of a model wrapped for a level, while inside; yields a context to take the forward pass in.

    "auto" has to be decided before: how much is needed depends on the card. `twice` takes a forward pass.
    """
    wrapped: list[tuple[nn.Module, Any]] = []
    try:
        for part, root in modules.items():
            for name in units(part, root, level):
                module = root.get_submodule(name)
                wrapped.append((module, module.__dict__.get("forward")))
                module.forward = functools.partial(twice, module.forward)  # type: ignore[method-assign]
        yield KeptInSystemMemory() if level == "offload" else nullcontext()
    finally:
        for module, own in reversed(wrapped):
            del module.forward
            if own is not None:
                module.forward = own  # type: ignore[method-assign]


class KeptInSystemMemory(AbstractContextManager[None]):
    """What is kept for the backward pass waits in system memory; may be entered again and again."""

    def __init__(self) -> None:
        self._inner: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> None:
        context = torch.autograd.graph.save_on_cpu(pin_memory=torch.cuda.is_available())
        context.__enter__()
        self._inner.append(context)

    def __exit__(self, *exception: Any) -> None:
        self._inner.pop().__exit__(*exception)
