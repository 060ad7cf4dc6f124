"""New networks of LyCORIS' kinds: sizes and first values are what its module classes make of a layer.

The classes make the tensors and are let go of. How a weight changes is worked out in `changes`, in one place
for training, previews and files, because the library's own forms do not agree with the hosts: strengths of
DoRA and OFT, LoHa and LoKr merged (their scale counts twice), half precision (a change is lost in the
weight's digits).
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.changes import FULL, GLORA, IA3, LOHA, LOKR, LORA, OFT, input_lengths
from lib_dreambooth.adapters.dense import SCALAR, Dense
from lib_dreambooth.adapters.low_rank import Dropouts
from lib_dreambooth.base.errors import MissingPackage
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.lora import AdapterModule

CLASSES = {
    LORA: ("locon", "LoConModule"),
    LOHA: ("loha", "LohaModule"),
    LOKR: ("lokr", "LokrModule"),
    IA3: ("ia3", "IA3Module"),
    OFT: ("diag_oft", "DiagOFTModule"),
    GLORA: ("glora", "GLoRAModule"),
}
LOGGER = "LyCORIS"
SEED_BITS = 63
# LyCORIS multiplies b1 b2 and W a1 a2; hosts b2 b1 and W a2 a1.
GLORA_NAMES = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}
# Layers that (IA)3 puts factors on the inputs of: what comes out of the middle of a feed-forward.
ON_INPUT = (".ff.net.2", ".mlp.fc2")


@dataclass(frozen=True)
class Wanted:
    """One layer's network by the settings."""

    kind: str
    rank: int
    alpha: float
    is_decomposed: bool = False
    is_tucker: bool = False
    has_scalar: bool = False
    factor: int = -1
    decompose_both: bool = False
    constraint: float = 0.0
    is_rescaled: bool = False
    is_on_input: bool = False


def new_dense(wanted: Wanted, layer: nn.Module, draw: Draw, dropouts: Dropouts) -> Dense:
    """A network that changes nothing yet. Raises MissingPackage where lycoris-lora is not installed."""
    if wanted.kind == FULL:
        return Dense(FULL, _no_differences(layer), dropouts=dropouts)
    like = _like(layer)
    parts = _blank_parts(wanted, like) if _weight(layer).is_meta else _new_parts(wanted, like, draw)
    scalar = parts.pop(SCALAR, None)
    if wanted.is_decomposed:
        # By our own formula and on the layer's device, so that the quotient of lengths is exactly 1 at first.
        parts["dora_scale"] = input_lengths(_weight(layer).detach().float())
    return Dense(
        wanted.kind, parts, _alpha(wanted, parts), dropouts, is_on_input=wanted.is_on_input, scalar=scalar
    )


def _new_parts(wanted: Wanted, like: nn.Module, draw: Draw) -> dict[str, Tensor]:
    with _quietly(draw.integer(1 << SEED_BITS)):
        made = _module_class(wanted.kind)("", like, **_arguments(wanted))
    return {_part_name(wanted.kind, name): tensor.data for name, tensor in made.named_parameters()}


def _blank_parts(wanted: Wanted, like: nn.Module) -> dict[str, Tensor]:
    """The same for a layer on `meta`: sizes are all that is wanted, and many layers are alike."""
    sizes = _sizes(wanted, tuple(_weight(like).shape))
    return {name: torch.empty(shape, dtype=dtype, device="meta") for name, (shape, dtype) in sizes.items()}


@functools.lru_cache(maxsize=1024)
def _sizes(wanted: Wanted, shape: tuple[int, ...]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    parts = _new_parts(wanted, _like_shape(shape), Draw(0, "size"))
    return {name: (tensor.shape, tensor.dtype) for name, tensor in parts.items()}


def goes_by_input(path: str, layer: nn.Module) -> bool:
    """Whether (IA)3 has its factors on a layer's inputs; A1111 reads those of convolutions there alone."""
    return path.endswith(ON_INPUT) or isinstance(layer, nn.Conv2d)


def for_layer(wanted: Wanted, path: str, layer: nn.Module) -> Wanted:
    """What a layer gets of what the settings want for all."""
    if wanted.kind == IA3:
        return replace(wanted, is_on_input=goes_by_input(path, layer))
    if wanted.kind == GLORA and isinstance(layer, nn.Conv2d):
        # A1111 reads GLoRA of linear layers alone.
        return replace(wanted, kind=LORA)
    return wanted


def _arguments(wanted: Wanted) -> dict[str, Any]:
    return {
        "lora_dim": wanted.rank,
        "alpha": wanted.alpha,
        "use_tucker": wanted.is_tucker,
        "use_scalar": wanted.has_scalar,
        "factor": wanted.factor,
        "decompose_both": wanted.decompose_both,
        "constraint": wanted.constraint,
        "rescaled": wanted.is_rescaled,
        "train_on_input": wanted.is_on_input,
        "bypass_mode": False,
    }


def _alpha(wanted: Wanted, parts: dict[str, Tensor]) -> float | None:
    if wanted.kind == IA3:
        return None
    if wanted.kind == OFT:
        # Where other kinds have their alpha, files of OFT have the constraint.
        return wanted.constraint
    # LoKr with two whole matrices has no rank to divide by.
    return wanted.alpha if AdapterModule(parts).rank is not None else float(wanted.rank)


def _part_name(kind: str, name: str) -> str:
    part = name.removesuffix(".weight")
    return GLORA_NAMES.get(part, part) if kind == GLORA else part


def _no_differences(layer: nn.Module) -> dict[str, Tensor]:
    found = {"diff": torch.zeros(_weight(layer).shape)}
    if isinstance(layer.bias, Tensor):
        found["diff_b"] = torch.zeros(layer.bias.shape)
    return found


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight


def _like(layer: nn.Module) -> nn.Module:
    """A layer of the same sizes without values: hosts and quantisation change what a layer's class is."""
    return _like_shape(tuple(_weight(layer).shape))


def _like_shape(shape: tuple[int, ...]) -> nn.Module:
    outputs, inputs, *kernel = shape
    if kernel:
        return nn.Conv2d(inputs, outputs, tuple(kernel), bias=False, device="meta")  # type: ignore[arg-type]
    return nn.Linear(inputs, outputs, bias=False, device="meta")


@contextlib.contextmanager
def _quietly(seed: int) -> Iterator[None]:
    """Fixes what the library draws, and keeps its lines for each layer out of the console; undone after."""
    log = logging.getLogger(LOGGER)
    level, state = log.level, torch.get_rng_state()
    try:
        # Not `manual_seed` of torch, which would set the generators of cards too.
        torch.default_generator.manual_seed(seed)
        log.setLevel(logging.ERROR)
        yield
    finally:
        log.setLevel(level)
        torch.set_rng_state(state)


def _module_class(kind: str) -> Any:
    import importlib

    module, name = CLASSES[kind]
    try:
        return getattr(importlib.import_module(f"lycoris.modules.{module}"), name)
    except ImportError as error:
        raise MissingPackage(
            f"this kind of network needs the package lycoris-lora, which cannot be used: {error}.",
            where="network.kind",
            todo="Choose LoRA without DoRA, or install it: pip install lycoris-lora",
        ) from error
