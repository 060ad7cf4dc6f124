"""Blocks of a model compiled by torch.compile for the steps; pictures are drawn without.

Blocks and not the whole: they are alike, so that one compilation serves many, and what is computed twice
stays computed twice around them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lib_dreambooth.base.forwards import forwards_taken
from lib_dreambooth.base.versions import first_two
from lib_dreambooth.training.precision.checkpointing import units
from lib_dreambooth.training.precision.flags import set_deterministic

BACKEND = "inductor"
# Before, compiled blocks with networks beside their layers could not be computed twice.
OLDEST = (2, 4)
# Each block, each picture size and each strength of a network is a compilation of its own.
MOST_COMPILATIONS = 4096
MOST_WORDS = 20
LIMITS = ("cache_size_limit", "accumulated_cache_size_limit")


def compiles(setting: str) -> bool:
    """Whether the settings want it; "auto" is off until it was measured to win on some card."""
    return setting == "on"


def why_not(device: torch.device, backend: str = BACKEND) -> str:
    """What stands against compiling here; an empty text where nothing does. Compiles something small."""
    if first_two(torch.__version__) < OLDEST:
        return f"it needs PyTorch {OLDEST[0]}.{OLDEST[1]}, and this is {torch.__version__}"
    values = torch.ones(4, device=device, requires_grad=True)
    try:
        compiled = torch.compile(lambda x: (x * 2 + 1).sum(), backend=backend)
        compiled(values).backward()
    except (RuntimeError, ImportError, OSError, AttributeError) as error:
        # Without a C++ compiler, without Triton (Windows), on a Python too new: each says it in its own way.
        return " ".join(str(error).split()[:MOST_WORDS]) or type(error).__name__
    return ""


@contextmanager
def compiled(modules: Mapping[str, nn.Module], backend: str = BACKEND) -> Iterator[int]:
    """While inside, the blocks of a model's parts are compiled for passes with gradients; gives how many.

    What cannot be compiled after all runs as it is.
    """
    num_blocks = 0
    with patient(), forwards_taken() as take:
        for part, root in modules.items():
            for name in units(part, root, "on"):
                module = root.get_submodule(name)
                plain = module.forward
                take(module, functools.partial(either, torch.compile(plain, backend=backend), plain))
                num_blocks += 1
        yield num_blocks


@contextmanager
def patient() -> Iterator[None]:
    """torch.compile's own settings for a block: many compilations, and no error where one fails."""
    import torch._dynamo
    import torch._inductor.config  # slow to import, and only wanted here

    set_deterministic(
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    )
    config = torch._dynamo.config
    wanted = {name: MOST_COMPILATIONS for name in LIMITS if hasattr(config, name)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(config.patch({**wanted, "suppress_errors": True}))  # type: ignore[attr-defined]
        yield


def either(fast: Any, plain: Any, *args: Any, **kwargs: Any) -> Any:
    """Compiled where gradients are wanted, as it is for pictures."""
    return (fast if torch.is_grad_enabled() else plain)(*args, **kwargs)
