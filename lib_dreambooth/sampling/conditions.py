"""Prompts to what the UNet is told at each step.

B: pictures, N: tokens, D: width of the states, P: width of the pooled state.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.encode import Embeddings, TextStates, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.prompt_schedule import composed, scheduled, without_comments, without_tags
from lib_dreambooth.sampling.picture_settings import PictureSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Condition:
    """What the UNet is told: text states [B, N, D], and for SDXL pooled [B, P] and sizes [B, 6]."""

    states: Tensor
    pooled: Tensor | None = None
    size_ids: Tensor | None = None

    def added(self) -> dict[str, Tensor] | None:
        """What SDXL's UNet takes beside the states."""
        if self.pooled is None or self.size_ids is None:
            return None
        return {"text_embeds": self.pooled, "time_ids": self.size_ids}


def joined(conditions: Sequence[Condition]) -> Condition:
    """Conditions of equal length as one batch."""
    first = conditions[0]
    if first.pooled is None or first.size_ids is None:
        return Condition(torch.cat([one.states for one in conditions]))
    pooled = torch.cat([one.pooled for one in conditions if one.pooled is not None])
    size_ids = torch.cat([one.size_ids for one in conditions if one.size_ids is not None])
    return Condition(torch.cat([one.states for one in conditions]), pooled, size_ids)


@dataclass(frozen=True, eq=False)
class Course:
    """A condition that changes on the way: each counts up to its last step."""

    ends: tuple[int, ...]
    conditions: tuple[Condition, ...]
    weight: float = 1.0

    def at(self, step: int) -> Condition:
        """The condition for a step, counted from 0."""
        found = (one for end, one in zip(self.ends, self.conditions, strict=True) if step <= end)
        return next(found, self.conditions[0])


@dataclass(frozen=True)
class Line:
    """One prompt's texts on the way, and how much it counts beside others."""

    ends: tuple[int, ...]
    texts: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Plan:
    """What is asked of one picture."""

    positive: tuple[Line, ...]
    negative: Line


def plan_of(prompt: str, negative: str, settings: PictureSettings) -> Plan:
    """What the WebUI makes of a picture's prompts; kohya's scripts know none of this grammar."""
    if settings.text_kind == "kohya":
        whole = (settings.steps,)
        return Plan((Line(whole, (prompt,)),), Line(whole, (negative,)))
    told = without_comments(prompt)
    untagged = without_tags(told)
    if untagged != told:
        log.warning("Tags such as <lora:...> in a prompt do nothing here; LoRA files are given beside it.")
    parts = composed(untagged)
    positive = tuple(_line(text, settings.steps, weight) for text, weight in parts)
    return Plan(positive, _line(without_comments(negative), settings.steps))


def _line(text: str, num_steps: int, weight: float = 1.0) -> Line:
    ends, texts = zip(*scheduled(text, num_steps), strict=True)
    return Line(ends, texts, weight)


class ConditionMaker:
    """Encodes the prompts of many pictures, each text once."""

    def __init__(self, model: LoadedModel, settings: PictureSettings, embeddings: Embeddings) -> None:
        self._model = model
        self._settings = settings
        self._embeddings = embeddings
        self._known: dict[tuple[tuple[str, ...], bool], TextStates] = {}

    def shape_of(self, plan: Plan) -> tuple[object, ...]:
        """What two plans have to share to be drawn together: weights, changes and lengths."""
        lines = [(line, False) for line in plan.positive] + [(plan.negative, True)]
        return tuple(
            (line.weight, line.ends, self._encoded(line, is_negative).states[0].shape[1])
            for line, is_negative in lines
        )

    def courses(self, plans: Sequence[Plan]) -> tuple[list[Course], Course]:
        """The positive and negative conditions of pictures whose plans have the same shape."""
        num_parts = len(plans[0].positive)
        parts = [[plan.positive[index] for plan in plans] for index in range(num_parts)]
        length = max(self._encoded(lines[0], False).states[0].shape[1] for lines in parts)
        positive = [self._course(lines, is_negative=False, length=length) for lines in parts]
        return positive, self._course([plan.negative for plan in plans], is_negative=True)

    def _course(self, lines: Sequence[Line], *, is_negative: bool, length: int = 0) -> Course:
        """One line of each picture; shorter parts beside longer ones repeat their last state."""
        encoded = [self._encoded(line, is_negative) for line in lines]
        conditions = tuple(
            joined([self._condition(texts, index, length) for texts in encoded])
            for index in range(len(lines[0].ends))
        )
        return Course(lines[0].ends, conditions, lines[0].weight)

    def _condition(self, texts: TextStates, index: int, length: int) -> Condition:
        device, dtype = self._model.device_of(UNET), self._model.dtype_of(UNET)
        states = texts.joined()[index : index + 1].to(device, dtype)
        states = torch.cat([states, states[:, -1:].expand(-1, max(length - states.shape[1], 0), -1)], dim=1)
        if texts.pooled is None:
            return Condition(states)
        height, width = self._settings.height, self._settings.width
        # Original size, top left corner of the cut, target size: each height first.
        size_ids = torch.tensor([[height, width, 0, 0, height, width]], device=device, dtype=dtype)
        return Condition(states, texts.pooled[index : index + 1].to(device, dtype), size_ids)

    def _encoded(self, line: Line, is_negative: bool) -> TextStates:
        """Each prompt is encoded apart from others, so that no picture depends on its neighbours."""
        key = (line.texts, is_negative)
        if key not in self._known:
            style = self._settings.text_style
            states = encode_prompts(
                self._model.encoders, line.texts, style, self._embeddings, share_mean=True
            )
            # SDXL was trained with zeros for no text; the WebUI gives them to empty negative prompts only.
            is_nothing = is_negative and not any(line.texts) and self._model.family.has_size_ids
            self._known[key] = states.zeroed() if is_nothing else states
        return self._known[key]
