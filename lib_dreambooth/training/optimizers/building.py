"""The optimizer of a run from its settings and what is trained."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.models.loaded import HALVES
from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.optimizers.arguments import checked, refused, takes
from lib_dreambooth.training.optimizers.finding import NAME, find, library_module
from lib_dreambooth.training.optimizers.in_one_call import InOneCall
from lib_dreambooth.training.optimizers.mover import Key, Mover
from lib_dreambooth.training.optimizers.names import TORCH, Known
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.rates.of_run import WORDS, rates_of

# These move matrices in one way and everything else as Adam does, and are told which is which.
BY_MATRIX = {"AdaGO", "AdaMuon", "Muon", "MuonClip", "NorMuon"}
ONLY_MATRICES = {"SpectralSphere"}
# Half-precision weights are moved in portions of about this many, so that their float32 stand-ins stay small.
PORTION = 1 << 25


class Named(nn.Module):
    """Weights with names, for Adam-mini, which goes by them: embeddings have a spread for each number."""

    def __init__(self, weights: Sequence[nn.Parameter], parts: Sequence[Part]) -> None:
        super().__init__()
        for number, (weight, part) in enumerate(zip(weights, parts, strict=True)):
            kind = "embed" if part.part == WORDS or "embedding" in part.name else "weight"
            self.register_parameter(f"{kind}{number}", weight)


def new_optimizer(run: Run, parts: Sequence[Part], plan: LengthPlan, processes: int = 1) -> Optimizer:
    """The optimizer that the settings name over `parts`, with the rates of its first step."""
    assert parts, "nothing is trained"
    known = find(run.optimizer.name, parts[0].parameter.device.type)
    made = class_of(known)
    arguments = checked(known, made, run.optimizer.arguments)
    if takes(made, "num_iterations"):
        arguments["num_iterations"] = steps_of_run(known, plan)
    movers = []
    for key, group in grouped(known, parts):
        # One after the other: the stand-ins of all half-precision weights at once are twice the weights.
        mover = mover_of(key, group)
        movers.append(mover)
        decay = run.parts.words.weight_decay if mover.key.part == WORDS else run.optimizer.weight_decay
        options = {**passing_options(run, known, parts[0].parameter.device.type), **arguments}
        own = InOneCall if made is torch.optim.AdamW and options.get("fused") else made
        mover.library = build(known, own, mover, options, decay)
        if mover.is_half:
            mover.clear()
    rates = rates_of(run, plan, processes, tuple(dict.fromkeys(part.part for part in parts)))
    return Optimizer(known, movers, rates, run.optimizer.max_grad_norm, run.precision.stochastic_rounding)


def steps_of_run(known: Known, plan: LengthPlan) -> int:
    """The length of the run for an optimizer that plans with it."""
    if plan.total_steps is None:
        raise UserError(
            f"{known.name} needs to know how long the run is, but it goes on until stopped.",
            where=NAME,
            todo="Give the run a length, or choose another optimizer.",
            code="unusable-optimizer",
        )
    return plan.total_steps


def grouped(known: Known, parts: Sequence[Part]) -> Iterator[tuple[Key, list[Part]]]:
    """The weights by part and factor, in the order given; half-precision ones in portions."""
    groups: dict[Key, list[Part]] = {}
    for part in parts:
        shape = part.parameter.shape
        if known.class_name in ONLY_MATRICES and len(shape) != 2:
            raise UserError(
                f"{known.name} moves matrices only, and {part.name} is none.",
                where=NAME,
                todo="Choose another optimizer.",
                code="unusable-optimizer",
            )
        # The rows of a word are vectors side by side and no matrix.
        is_matrix = known.class_name in BY_MATRIX and len(shape) >= 2 and part.part != WORDS
        groups.setdefault(Key(part.part, part.rate, is_matrix), []).append(part)
    for key, group in groups.items():
        portions = portioned(group) if known.apart and is_half(group[0]) else [group]
        for number, portion in enumerate(portions):
            yield Key(key.part, key.rate, key.is_matrix, number), portion


def portioned(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Consecutive weights of PORTION numbers together, or one that is larger."""
    portion: list[Part] = []
    count = 0
    for part in parts:
        if portion and count + part.parameter.numel() > PORTION:
            yield portion
            portion, count = [], 0
        portion.append(part)
        count += part.parameter.numel()
    yield portion


def is_half(part: Part) -> bool:
    return part.parameter.dtype in HALVES


def mover_of(key: Key, parts: Sequence[Part]) -> Mover:
    """A mover with its stand-ins, without its library optimizer yet."""
    stand_ins = [
        nn.Parameter(part.parameter.detach().float()) if is_half(part) else part.parameter for part in parts
    ]
    return Mover(key, parts, stand_ins)


def build(
    known: Known, made: type, mover: Mover, arguments: dict[str, Any], weight_decay: float
) -> torch.optim.Optimizer:
    """The library's optimizer over the weights of one mover."""
    options = dict(arguments)
    if takes(made, "weight_decay"):
        options["weight_decay"] = weight_decay
    if takes(made, "lr"):
        # Replaced before the first step; some check that it is above 0.
        options["lr"] = 1e-3
    weights: Any = [{"params": mover.stand_ins}]
    if known.class_name in BY_MATRIX:
        weights[0]["use_muon"] = mover.key.is_matrix
    if takes(made, "model"):
        weights = Named(mover.stand_ins, mover.parts)
    try:
        library: torch.optim.Optimizer = made(weights, **options)
    except (ValueError, TypeError, NotImplementedError, AssertionError) as error:
        raise refused(known, error) from error
    if callable(getattr(library, "train", None)):
        library.train()  # type: ignore[attr-defined]
    return library


def class_of(known: Known) -> type:
    """The library's class."""
    made: type = getattr(library_module(known.library), known.class_name)
    return made


def passing_options(run: Run, known: Known, kind: str) -> dict[str, Any]:
    """How weights on a device of this kind are gone over: all in one call, in lists, or one by one."""
    if not takes(class_of(known), "foreach"):
        return {}
    in_one_call = run.memory.one_call != "off"
    if in_one_call and is_adamw(known) and fuses_on(kind):
        return {"fused": True}
    # A list takes a copy of all that is in it: too much of whole weights.
    if not in_one_call or not is_adapter(run):
        return {"foreach": False}
    # The others know best what lists are good for.
    return {"foreach": True} if is_adamw(known) else {}


def moves_in_lists(run: Run, known: Known, kind: str) -> bool:
    """Whether PyTorch's AdamW takes a copy of all weights on a device of this kind."""
    is_wanted = run.memory.one_call != "off" and is_adapter(run)
    return is_wanted and is_adamw(known) and not fuses_on(kind)


def is_adamw(known: Known) -> bool:
    """Whether it is PyTorch's own."""
    return known.library == TORCH and known.class_name == "AdamW"


def fuses_on(kind: str) -> bool:
    """Whether AdamW moves all weights in one call on a device of this kind."""
    return kind == "cuda" or (kind == "cpu" and fuses_on_cpu())


@functools.cache
def fuses_on_cpu() -> bool:
    """Whether AdamW can do so on a CPU: tried, since PyTorch learned it after 2.1."""
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    try:
        InOneCall([weight], fused=True).step()
    except (RuntimeError, NotImplementedError):
        return False
    return True
