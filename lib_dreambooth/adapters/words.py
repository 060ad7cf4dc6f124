"""New words for prompts, trained as rows beside the text encoders' tables.

The tables themselves are never touched: a row stands in a prompt's place only while that is encoded. So no
other word can move, and `eject` leaves nothing behind.

V: vectors of a word, D: width of an encoder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.parts import Part, put_back, start_parts, state_of, stop_parts

# The part of a run that all words belong to, with its own rate, start and stop.
WORDS = "words"


class Words:
    """Words that are trained.

    `at_work` is what encoders are given, by word and text encoder: the live rows, and nothing while the words
    are taken away.
    """

    def __init__(
        self,
        rows: Mapping[str, Mapping[str, Tensor]],
        lengths: Mapping[str, float],
        max_norm: float = 0.0,
    ) -> None:
        """Rows [V, D] by word and text encoder; `lengths` of each encoder's own words on average.

        No row grows beyond `max_norm` times that; 0: they are free. Rows that do already are cut at once.
        """
        self._rows = {
            word: {part: nn.Parameter(tensor.detach().clone()) for part, tensor in parts.items()}
            for word, parts in rows.items()
        }
        self._lengths = dict(lengths)
        self._max_norm = max_norm
        self.at_work: dict[str, Mapping[str, Tensor]] = {}
        self._is_attached = True
        self.strength(1.0)
        self.limit_norms(0.0)

    def parts(self) -> list[Part]:
        """The rows of each word in each encoder."""
        return [
            Part(f"{WORDS}.{word}.{part}", parameter, WORDS)
            for word, parameters in self._rows.items()
            for part, parameter in parameters.items()
        ]

    def state(self) -> dict[str, Tensor]:
        """All rows by the names of their parts."""
        return state_of(self.parts())

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts a `state` back in place; parameters stay the same objects."""
        put_back(self.parts(), state)

    def training(self, is_on: bool) -> None:
        """Nothing here is left out by chance."""

    def strength(self, value: float) -> None:
        """A word is there or not: at 0 the model reads its name as it did before."""
        self.at_work.clear()
        if value and self._is_attached:
            self.at_work.update(self._rows)

    @torch.no_grad()
    def limit_norms(self, max_norm: float) -> Tensor:
        """Cuts rows back to the bound that the words were made with; how many words were cut.

        `max_norm` is for networks. Words that do not move are left as they are.
        """
        cut = [
            shortened(parameter, self._max_norm * self._lengths[part])
            for parameters in self._rows.values()
            for part, parameter in parameters.items()
            if self._max_norm > 0 and parameter.requires_grad
        ]
        return torch.stack(cut).sum() if cut else torch.tensor(0)

    @torch.no_grad()
    def norms(self) -> dict[str, Tensor]:
        """The longest row, as a multiple of the length that the model's own words have on average."""
        longest = [
            parameter.float().norm(dim=1).max() / self._lengths[part]
            for parameters in self._rows.values()
            for part, parameter in parameters.items()
        ]
        return {WORDS: torch.stack(longest).max()}

    def start(self, part: str) -> None:
        """Lets the words move again."""
        start_parts(self.parts(), part)

    def stop(self, part: str) -> None:
        """The words act on, but stay as they are."""
        stop_parts(self.parts(), part)

    def trained_roots(self) -> set[str]:
        """The text encoders that gradients have to go through."""
        return {
            part
            for parameters in self._rows.values()
            for part, parameter in parameters.items()
            if parameter.requires_grad
        }

    def export(self) -> dict[str, dict[str, Tensor]]:
        """By word the rows of each text encoder, as files have them."""
        return {
            word: {part: parameter.detach() for part, parameter in parameters.items()}
            for word, parameters in self._rows.items()
        }

    def eject(self) -> None:
        """Takes the words away; doing so twice does nothing."""
        self._is_attached = False
        self.at_work.clear()


def shortened(rows: Tensor, bound: float) -> Tensor:
    """Cuts rows [V, D] longer than `bound` back to it, in place; whether there were any, as a number."""
    norms = rows.norm(dim=1, keepdim=True)
    is_long = norms > bound
    # Rounding must not leave a row a little longer than the bound.
    rows.copy_(torch.where(is_long, rows * (bound * (1 - torch.finfo(rows.dtype).eps) / norms), rows))
    return is_long.any().long()
