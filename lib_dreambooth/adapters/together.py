"""Words and what is trained beside them, as one for the loop; and how to tell them apart again."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.parts import Part, Trainable
from lib_dreambooth.adapters.words import Words


class WithWords:
    """Words alone, or together with a network or whole weights (pivotal tuning)."""

    def __init__(self, words: Words, other: Trainable | None = None) -> None:
        self.words = words
        self.other = other
        self._all: list[Trainable] = [words] if other is None else [other, words]

    def parts(self) -> list[Part]:
        """Every tensor that is trained, the words' last."""
        return [part for one in self._all for part in one.parts()]

    def state(self) -> dict[str, Tensor]:
        """Every trained tensor by its name."""
        return {name: tensor for one in self._all for name, tensor in one.state().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts a `state` back in place."""
        for one in self._all:
            one.load(state)

    def training(self, is_on: bool) -> None:
        """Whether dropouts act."""
        for one in self._all:
            one.training(is_on)

    def strength(self, value: float) -> None:
        """How much of the network acts; a word acts whole or, at 0, not at all."""
        for one in self._all:
            one.strength(value)

    def limit_norms(self, max_norm: float) -> Tensor:
        """Scales back what has grown too long; gives how many."""
        first, *others = (one.limit_norms(max_norm) for one in self._all)
        return sum((count.to(first.device) for count in others), first)

    def norms(self) -> dict[str, Tensor]:
        """By part what `Trainable.norms` and `Words.norms` give."""
        return {part: norm for one in self._all for part, norm in one.norms().items()}

    def start(self, part: str) -> None:
        """Lets a part that was stopped move again."""
        for one in self._all:
            one.start(part)

    def stop(self, part: str) -> None:
        """The part stays as it is from here on."""
        for one in self._all:
            one.stop(part)

    def trained_roots(self) -> set[str]:
        """The parts of the model that gradients have to reach now."""
        return {root for one in self._all for root in one.trained_roots()}

    def eject(self) -> None:
        """Gives the model back; doing so twice does nothing."""
        for one in self._all:
            one.eject()


def words_in(trained: Trainable) -> Words | None:
    """The words that are trained, if any are."""
    return trained.words if isinstance(trained, WithWords) else None


def beside_words(trained: Trainable) -> Trainable | None:
    """What is trained besides words; None where words are all."""
    return trained.other if isinstance(trained, WithWords) else trained


def network_in(trained: Trainable) -> Attached | None:
    """The network that is trained, if one is."""
    other = beside_words(trained)
    return other if isinstance(other, Attached) else None
