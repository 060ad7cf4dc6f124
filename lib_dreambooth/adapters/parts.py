"""What every way of training promises the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Part:
    """One tensor for the optimizer."""

    name: str  # stays the same between runs; its key in `Trainable.state`
    parameter: nn.Parameter
    part: str  # what of the run: UNET, TEXT or TEXT_2 of formats.keymap, or words.WORDS
    rate: float = 1.0  # a factor on the learning rate of that part


class Trainable(Protocol):
    """What is trained: a network beside the model, or weights of the model itself."""

    def parts(self) -> list[Part]:
        """Every tensor that is trained, in an order that stays the same; stopped ones too."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Every trained tensor by its name, not copied."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts a `state` back in place; parameters stay the same objects."""
        ...

    def training(self, is_on: bool) -> None:
        """Whether dropouts act: on for steps, off for pictures and validation."""
        ...

    def strength(self, value: float) -> None:
        """How much of the network acts, as in `<lora:name:value>`; at 0 words are gone too.

        Whole weights act whole, whatever is asked for.
        """
        ...

    def limit_norms(self, max_norm: float) -> Tensor:
        """Scales back what has grown beyond `max_norm` (0: anything may), and words beyond their own bound.

        Gives how many layers and words, still on their device.
        """
        ...

    def norms(self) -> dict[str, Tensor]:
        """By part the length of the change that was learnt, or of whole weights; still on their device.

        Of words the longest row, as a multiple of what the model's own have on average.
        """
        ...

    def start(self, part: str) -> None:
        """Lets a part that was stopped move again."""
        ...

    def stop(self, part: str) -> None:
        """The part stays as it is from here on; its gradients are given back."""
        ...

    def trained_roots(self) -> set[str]:
        """The parts of the model that gradients have to reach now."""
        ...

    def eject(self) -> None:
        """Gives the model back; doing so twice does nothing."""
        ...


def state_of(parts: Iterable[Part]) -> dict[str, Tensor]:
    """What `Trainable.state` gives."""
    return {part.name: part.parameter.detach() for part in parts}


@torch.no_grad()
def put_back(parts: Iterable[Part], state: Mapping[str, Tensor]) -> None:
    """What `Trainable.load` does."""
    for part in parts:
        part.parameter.copy_(state[part.name])


@contextlib.contextmanager
def previewing(trainable: Trainable, strength: float = 1.0) -> Iterator[None]:
    """While open, nothing learns, no dropout acts and the network has another strength.

    PyTorch multiplies in another order for what may learn: without this, files would give pictures that
    differ from previews in their last digit.
    """
    learning = [part.parameter for part in trainable.parts() if part.parameter.requires_grad]
    trainable.training(False)
    trainable.strength(strength)
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        trainable.strength(1.0)
        trainable.training(True)


@contextlib.contextmanager
def silenced(trainable: Trainable) -> Iterator[None]:
    """While open, the model answers as if no network or word were there; whole weights have no such way."""
    trainable.strength(0.0)
    try:
        yield
    finally:
        trainable.strength(1.0)


def start_parts(parts: list[Part], part: str) -> None:
    """What `Trainable.start` does."""
    for found in parts:
        if found.part == part:
            found.parameter.requires_grad_(True)


def stop_parts(parts: list[Part], part: str) -> None:
    """What `Trainable.stop` does."""
    for found in parts:
        if found.part == part:
            found.parameter.requires_grad_(False)
            found.parameter.grad = None


def moving_roots(parts: list[Part]) -> set[str]:
    """What `Trainable.trained_roots` gives."""
    return {found.part for found in parts if found.parameter.requires_grad}
