"""A run's events as a person or a program wants to follow them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

from lib_dreambooth.cli.output import Out, is_terminal
from lib_dreambooth.runs.events import (
    Event,
    Paused,
    Phase,
    Resumed,
    Sampled,
    Saved,
    Step,
    Validated,
    Warned,
    to_json,
)

TRAINING, SAVING, STATE = "training", "saving", "state"
# The code of warnings about settings that were changed.
CHANGED = "changed-on-resume"
# Plain lines: a step at each tenth of the run, and at least so often.
PLAIN_PARTS = 10
PLAIN_EVERY_S = 60.0
BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
ENDLESS = "{desc} {n_fmt}{postfix}"
MINUTE_S, HOUR_S = 60, 3600
UNKNOWN_WIDTH = 80


def listener_for(out: Out, known: Collection[str] = ()) -> RunLines:
    """The listener that suits an output; close it when the run is over.

    Changed settings in `known` were said already.
    """
    kind = JsonLines if out.as_json else BarLines if is_terminal(out.stderr) else RunLines
    return kind(out, known)


class RunLines:
    """Plain lines, for logs and pipes."""

    def __init__(
        self, out: Out, known: Collection[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.out = out
        self.known = frozenset(known)
        self._clock = clock
        self._phase = ""
        self._total: int | None = None
        self._part = -1
        self._told_at = clock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Phase):
            self.phase(event)
        elif isinstance(event, Step):
            self.step(event)
        elif isinstance(event, Warned) and event.code == CHANGED and event.where in self.known:
            return
        elif text := sentence(event):
            self.say(text, "yellow" if isinstance(event, Warned) else "")

    def say(self, text: str, colour: str = "") -> None:
        """A line beside the progress."""
        self.out.note(text, colour)

    def phase(self, event: Phase) -> None:
        """What is done now, said once."""
        if event.name not in (self._phase, SAVING):
            self._phase = event.name
            if event.name != TRAINING or self._total is None:
                self.say(f"{event.name[:1].upper()}{event.name[1:]}.")
        if event.name == TRAINING:
            self._total = event.total

    def step(self, event: Step) -> None:
        """A point of the curves, if it is time for a line."""
        part = event.step * PLAIN_PARTS // self._total if self._total else -1
        now = self._clock()
        if part == self._part and event.step > 1 and now - self._told_at < PLAIN_EVERY_S:
            return
        self._part, self._told_at = part, now
        of_all = f" of {self._total:,}" if self._total else ""
        self.say(f"step {event.step:,}{of_all}: {step_text(event)}")

    def close(self) -> None:
        """Nothing comes any more."""


class JsonLines(RunLines):
    """Every event in a line of its own."""

    def __call__(self, event: Event) -> None:
        self.out.event(to_json(event))


class BarLines(RunLines):
    """A bar that stays in its place; everything else scrolls above it."""

    def __init__(self, out: Out, known: Collection[str] = ()) -> None:
        super().__init__(out, known)
        self._bar: Any = None

    def say(self, text: str, colour: str = "") -> None:
        if self._bar is not None:
            self._bar.clear()
        super().say(text, colour)
        if self._bar is not None:
            self._bar.refresh()

    def phase(self, event: Phase) -> None:
        if self._bar is None or event.total != self._total:
            self._begin(event)
        elif event.name != self._phase:
            self._phase = event.name
            self._bar.set_description_str(event.name, refresh=False)
        self._bar.n = event.done
        self._bar.refresh()

    def step(self, event: Step) -> None:
        if self._bar is not None:
            self._bar.n = event.step
            self._bar.set_postfix_str(step_text(event), refresh=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _begin(self, event: Phase) -> None:
        # Only here, so that commands without progress start without it.
        from tqdm import tqdm

        if self._bar is not None:
            self._bar.leave = False
        self.close()
        self._phase, self._total = event.name, event.total
        self._bar = tqdm(
            total=event.total,
            initial=event.done,
            desc=event.name,
            file=self.out.stderr,
            bar_format=BAR if event.total else ENDLESS,
            **width_options(),
        )


def width_options() -> dict[str, Any]:
    """How wide a bar may be: as the terminal, which may change; 80 where it does not tell."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    return {"dynamic_ncols": True} if columns else {"ncols": UNKNOWN_WIDTH}


def step_text(event: Step) -> str:
    """A point of the curves in a line."""
    loss = event.loss if event.smoothed is None else event.smoothed
    words = [f"loss {loss:.4f}"]
    rates = sorted(set(event.rates.values()), reverse=True)
    if rates:
        words.append("rate " + " / ".join(f"{rate:.3g}" for rate in rates))
    if event.steps_per_second:
        words.append(f"{1 / event.steps_per_second:.2f} s/it")
    if event.seconds_left is not None:
        words.append(f"{time_text(event.seconds_left)} left")
    return ", ".join(words)


def time_text(seconds: float) -> str:
    """How long, for people."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    hours, rest = divmod(whole, HOUR_S)
    minutes, rest = divmod(rest, MINUTE_S)
    return f"{hours}:{minutes:02d} h" if hours else f"{minutes}:{rest:02d} min"


def sentence(event: Event) -> str:
    """What an event says to people beside the progress; "" where it says nothing."""
    if isinstance(event, Saved):
        what = "state kept" if event.what == STATE else "saved"
        return f"step {event.step:,}: {what}: {', '.join(event.paths)}"
    if isinstance(event, Sampled):
        return f"step {event.step:,}: drew {len(event.files)} previews, the first is {event.files[0]}"
    if isinstance(event, Validated):
        curves = ", ".join(f"{name} {value:.4f}" for name, value in event.curves.items())
        return f"step {event.step:,}: measured: {curves}"
    if isinstance(event, Paused):
        return "paused; the card is free"
    if isinstance(event, Resumed):
        return f"goes on after {time_text(event.seconds_paused)}"
    if isinstance(event, Warned):
        return f"{event.where}: {event.text}" if event.where and event.where not in event.text else event.text
    return ""
