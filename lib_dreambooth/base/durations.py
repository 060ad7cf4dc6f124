"""Lengths of training with a unit: "500 steps", "2 epochs", "10 %", "5 min", "never"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

UNITS = ("steps", "epochs", "percent", "minutes")
WORDS = ("never", "auto", "until stopped")

TEXT_OF_UNIT = {"steps": "steps", "epochs": "epochs", "percent": "%", "minutes": "min"}
UNIT_OF_TEXT = {
    "step": "steps", "steps": "steps", "s": "steps",
    "epoch": "epochs", "epochs": "epochs", "e": "epochs",
    "%": "percent", "percent": "percent",
    "min": "minutes", "minute": "minutes", "minutes": "minutes", "m": "minutes",
    "h": "hours", "hour": "hours", "hours": "hours",
}  # fmt: skip
WORD_OF_TEXT = {
    "never": "never", "off": "never", "none": "never",
    "auto": "auto", "automatic": "auto",
    "until stopped": "until stopped", "forever": "until stopped",
}  # fmt: skip

AMOUNT = re.compile(
    r"(?P<amount>\d+(?:\.\d*)?|\.\d+)(?:e(?P<power>[+-]?\d+))?\s*(?P<unit>[a-z%]+)", re.IGNORECASE
)
LARGEST = 1e12


@dataclass(frozen=True)
class Duration:
    """An amount of training; `unit` is one of UNITS, or one of WORDS with an amount of 0."""

    amount: float
    unit: str

    def __post_init__(self) -> None:
        assert self.unit in UNITS or (self.unit in WORDS and self.amount == 0), self.unit
        assert 0 <= self.amount <= LARGEST, self.amount

    def __str__(self) -> str:
        if self.unit in WORDS:
            return self.unit
        return f"{number_text(self.amount)} {TEXT_OF_UNIT[self.unit]}"

    @property
    def is_word(self) -> bool:
        """Whether this says "never", "auto" or "until stopped" instead of an amount."""
        return self.unit in WORDS

    @property
    def is_never(self) -> bool:
        """Whether nothing ever falls due."""
        return self.unit == "never" or (self.amount == 0 and self.unit in UNITS)


NEVER = Duration(0, "never")
AUTO = Duration(0, "auto")
UNTIL_STOPPED = Duration(0, "until stopped")


def steps(amount: float) -> Duration:
    """An amount of optimizer steps."""
    return Duration(amount, "steps")


def epochs(amount: float) -> Duration:
    """An amount of passes over the training pictures."""
    return Duration(amount, "epochs")


def percent(amount: float) -> Duration:
    """A part of the whole run."""
    return Duration(amount, "percent")


def minutes(amount: float) -> Duration:
    """An amount of time on the clock."""
    return Duration(amount, "minutes")


def parse(text: str) -> Duration:
    """The duration that a text says; raises ValueError for anything else."""
    words = " ".join(text.strip().lower().split())
    if words in WORD_OF_TEXT:
        return Duration(0, WORD_OF_TEXT[words])
    match = AMOUNT.fullmatch(words)
    unit = UNIT_OF_TEXT.get(match["unit"]) if match else None
    if match is None or unit is None:
        raise ValueError(f"not a duration: {text!r}")
    amount = float(words[: match.start("unit")].strip())
    if unit == "hours":
        amount, unit = amount * 60, "minutes"
    if not amount <= LARGEST:
        raise ValueError(f"too long: {text!r}")
    return Duration(amount, unit)


def to_steps(duration: Duration, steps_per_epoch: int, total_steps: int | None) -> int | None:
    """The optimizer step at which a duration has passed, halves rounded up.

    None where no step can be named: minutes, words, or a share of a run without an end.
    """
    if duration.unit == "steps":
        return round_half_up(duration.amount)
    if duration.unit == "epochs":
        return round_half_up(duration.amount * steps_per_epoch)
    if duration.unit == "percent" and total_steps is not None:
        return round_half_up(duration.amount * total_steps / 100)
    return None


def round_half_up(value: float) -> int:
    """The nearest whole number; a half goes up, so that no platform's banker's rounding moves a save."""
    return math.floor(value + 0.5)


def number_text(value: float) -> str:
    """A number without a needless fraction."""
    return str(int(value)) if value == int(value) else repr(value)
