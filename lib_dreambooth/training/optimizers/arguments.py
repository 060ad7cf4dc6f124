"""The arguments that an optimizer's class is made with, checked against what it takes."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.training.optimizers.names import Known

ARGUMENTS = "optimizer.arguments"
# Given by other settings, or not a user's business.
ELSEWHERE = {
    "lr": "rates.learning_rate",
    "weight_decay": "optimizer.weight_decay",
}
OURS = {"self", "params", "model", "args", "num_iterations", "kwargs"}


def taken_by(made: type) -> list[str]:
    """The names of the arguments that a user may give."""
    accepted = inspect.signature(made.__init__).parameters.values()  # type: ignore[misc]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in accepted if p.kind in plain and p.name not in OURS and p.name not in ELSEWHERE]


def takes(made: type, name: str) -> bool:
    """Whether a class has an argument of this name."""
    return name in inspect.signature(made.__init__).parameters  # type: ignore[misc]


def checked(known: Known, made: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments besides the weights, rate and decay; raises UserError for one that the class lacks."""
    names = taken_by(made)
    for name in given:
        if name in ELSEWHERE:
            raise UserError(
                f"{name} is not given among the arguments.",
                where=ARGUMENTS,
                todo=f"Set {ELSEWHERE[name]} instead.",
                code="bad-argument",
            )
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            raise UserError(
                f'{known.name} has no argument "{name}".',
                where=ARGUMENTS,
                todo=f"Did you mean {close[0]}?" if close else f"It takes: {', '.join(names)}.",
                code="bad-argument",
            )
    return {**known.defaults, **{name: as_python(name, value) for name, value in given.items()}}


def as_python(name: str, value: Any) -> Any:
    """A value out of TOML as the libraries want it: pairs as tuples, number types by name."""
    if isinstance(value, list):
        return tuple(value)
    if name.endswith("dtype") and isinstance(value, str):
        dtype = getattr(torch, value, None)
        if not isinstance(dtype, torch.dtype):
            raise UserError(
                f'"{value}" is not a number type.',
                where=ARGUMENTS,
                todo="Write float32, float16 or bfloat16.",
                code="bad-argument",
            )
        return dtype
    return value


def refused(known: Known, error: Exception) -> UserError:
    """The sentence for values that the class itself does not take."""
    return UserError(
        f"{known.name} does not take these arguments: {error}.",
        where=ARGUMENTS,
        todo="Correct the value, or leave the argument out for its default.",
        code="bad-argument",
    )
