"""What holds a model where it was: the weight of class pictures, and what is learned from the base itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.data.item import Item
from lib_dreambooth.data.order.batches import Visit
from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.schema import ClassPictures, Run


def class_weights(settings: ClassPictures, plan: LengthPlan) -> Callable[[int], float]:
    """The weight of class pictures at each step, counted from 0, for `data.feeding.feed`.

    It falls evenly from the first step on and has reached its minimum after the time that is set. A minimum
    above the weight changes nothing, nor does a part of a run without an end.
    """
    over = None if settings.fall.is_never else plan.steps_of(settings.fall)
    start, end = settings.weight, min(settings.weight, settings.weight_min)

    def weight(step: int) -> float:
        if not over:
            return start
        return start + (end - start) * min(1.0, step / over)

    return weight


BASE = "base"


@dataclass(frozen=True)
class Prior:
    """Which pictures teach what the untouched model answers for them, in place of themselves.

    `outside` is the weight of its answer where a mask leaves something out. A concept's target speaks of its
    own folder, that of class pictures of all of these.
    """

    concepts: frozenset[int]
    own_classes: frozenset[int]
    classes: bool
    outside: float

    @classmethod
    def of(cls, run: Run) -> Prior:
        """As the settings say."""
        numbered = list(enumerate(run.concepts))
        return cls(
            frozenset(number for number, concept in numbered if concept.target == BASE),
            frozenset(number for number, concept in numbered if concept.role == "train"),
            run.class_pictures.target == BASE,
            run.loss.outside_base,
        )

    def replaces(self, item: Item) -> bool:
        """Whether the base's answer is learned in place of this picture."""
        if item.is_class and self.classes:
            return True
        is_own_class = item.is_class and item.concept in self.own_classes
        return item.concept in self.concepts and not is_own_class

    def may_ask(self, item: Item) -> bool:
        """Whether the base may be asked in a visit of this picture."""
        return self.replaces(item) or (self.outside > 0 and item.mask_kind != "none")

    def replaced(self, visits: Sequence[Visit]) -> Tensor:
        """The same as `replaces` for each visit, [B]."""
        return torch.tensor([self.replaces(visit.item) for visit in visits])

    def asked(self, visits: Sequence[Visit], masks: Tensor | None) -> list[int]:
        """The rows of a batch that the base is asked for."""
        rows = self.replaced(visits)
        if self.outside > 0 and masks is not None:
            rows = rows | (masks < 1).flatten(1).any(1)
        return [row for row, is_asked in enumerate(rows.tolist()) if is_asked]
