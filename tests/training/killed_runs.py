"""Runs in processes of their own that are killed at random moments, and gone on with until they are done."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.runs.events import Event, Phase, Saved, Step
from lib_dreambooth.runs.kept_states import newest_whole
from tests.training.made_runs import LORA, WHOLE, MadeRun, assert_same, joined, tensors_of

# Where a kill is meant to land, by what is told when that begins.
PLACES = ("reading", "class pictures", "caching", "step", "save", "state", "preview")
MARKS = {
    "reading the model": "reading",
    "drawing class pictures": "class pictures",
    "encoding pictures": "caching",
    "saving result": "save",
    "saving state": "state",
    "drawing samples": "preview",
    "training": "training",
}
DONE = "done"
# Everything falls due all the time, so that little time passes outside of it.
BUSY: dict[str, Any] = {
    "saving": {"every": "4 steps", "state_every": "2 steps", "keep_states": 2},
    "previews": {"every": "3 steps", "at_end": True},
    "class_pictures": {"draw": True, "total": 4, "per_picture": 1, "steps": 2, "relation": "mixed"},
    "memory": {"cache_latents": "disk"},
    "length": {"batch_size": 1, "accumulation": 2},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "lora": joined(LORA, BUSY),
    "whole": joined(WHOLE, BUSY),
    # The same with a part of the weights, whose states are written in no time.
    "some weights": joined(
        WHOLE, BUSY, {"parts": {"text_encoder_1": {"train": False}, "unet": {"blocks": ["mid"]}}}
    ),
}
LONGEST_S = 300.0
HEAVY = ("bitsandbytes", "diffusers", "transformers", "tests.training.killed_runs")


@dataclass(frozen=True)
class Mark:
    """Something that a run told; `step` is how many are done."""

    name: str
    step: int = 0


@dataclass(frozen=True)
class Kill:
    """One kill: where it was meant to land, where it did, and what was safe before and after."""

    place: str
    landed: str
    told_step: int
    step: int
    kept_step: int

    @property
    def has_landed(self) -> bool:
        return self.place == self.landed


@dataclass
class Killed:
    """A run and its kills."""

    kind: str
    kills: list[Kill] = field(default_factory=list)
    leftovers: int = 0


def mark_of(event: Event) -> Mark | None:
    """What the parent wants to know of an event."""
    if isinstance(event, Phase):
        name = " ".join(part for part in (event.name, event.detail) if part)
        return Mark(MARKS.get(name, name), event.done)
    if isinstance(event, Step):
        return Mark("step", event.step)
    if isinstance(event, Saved):
        return Mark(f"saved {event.what}", event.step)
    return None


def carry_on(root: str, kind: str, pipe: Connection) -> None:
    """What a user would do: go on from the newest state, or start where there is none."""
    torch.set_num_threads(1)
    run = MadeRun(Path(root), SETTINGS[kind], num_pictures=4)
    has_state = newest_whole(run.folder.states_dir).state is not None
    job = run.next() if has_state else run.first()

    def tell(event: Event) -> None:
        mark = mark_of(event)
        if mark is not None:
            pipe.send(mark)

    job.listeners = (tell,)
    job.run()
    pipe.send(Mark(DONE))


class Child:
    """A run in a process of its own; `marks` yields what it tells."""

    def __init__(self, root: Path, kind: str) -> None:
        methods = multiprocessing.get_all_start_methods()
        # Starts in a moment, without what a plain fork copies of this process.
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload(list(HEAVY))
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=carry_on, args=(str(root), kind, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.last = Mark("starting")
        self.kept_step = 0

    def marks(self) -> Iterator[Mark]:
        """Everything told, until the process ends."""
        while self.pipe.poll(LONGEST_S):
            try:
                mark = self.pipe.recv()
            except EOFError:
                return
            self.last = mark
            if mark.name == "saved state":
                self.kept_step = mark.step
            yield mark
        raise TimeoutError(f"nothing was told for {LONGEST_S:.0f} s after {self.last}")

    def kill(self) -> None:
        """As `kill -9`; what was told before is still read."""
        self.process.kill()
        self.process.join()
        with contextlib.suppress(EOFError):
            while self.pipe.poll():
                for _ in self.marks():
                    pass
                return

    def close(self) -> None:
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


@contextlib.contextmanager
def child(root: Path, kind: str) -> Iterator[Child]:
    """A started run that does not outlive the block."""
    made = Child(root, kind)
    try:
        yield made
    finally:
        made.close()


def straight(root: Path, kind: str) -> tuple[MadeRun, dict[str, float]]:
    """A run that nobody disturbs, and how long each place lasts in it."""
    lengths: dict[str, list[float]] = {}
    with child(root, kind) as running:
        began, place = time.monotonic(), ""
        for mark in running.marks():
            now = time.monotonic()
            lengths.setdefault(place, []).append(now - began)
            began, place = now, mark.name
        assert place == DONE, f"the straight run ended after {running.last}"
    return made(root, kind), {name: sum(found) / len(found) for name, found in lengths.items()}


def made(root: Path, kind: str) -> MadeRun:
    return MadeRun(root, SETTINGS[kind], num_pictures=4)


def killed(
    root: Path, kind: str, places: Sequence[str], lengths: Mapping[str, float], chance: random.Random
) -> Killed:
    """A run that is killed once in each place, each time gone on with; then it runs to its end."""
    report = Killed(kind)
    for place in places:
        with child(root, kind) as running:
            kill_in(running, place, lengths.get(place, 0.1), chance)
            if running.last.name == DONE:
                break
            found = newest_whole(made(root, kind).folder.states_dir)
            assert not found.damaged, f"a kill left damage: {found.damaged}"
            step = found.state.step if found.state else 0
            landed = running.last.name
            report.kills.append(Kill(place, landed, running.last.step, step, running.kept_step))
            assert step >= running.kept_step, f"a state was lost: {report.kills[-1]}"
    with child(root, kind) as running:
        for _ in running.marks():
            pass
        assert running.last.name == DONE, f"it did not go on by itself after {report.kills[-1:]}"
    report.leftovers = len(list(root.rglob("*.tmp")))
    return report


def kill_in(running: Child, place: str, length_s: float, chance: random.Random) -> None:
    """Kills when a place has begun, at a random moment of it; the first few times are let go by."""
    skipped = chance.randrange(3)
    for mark in running.marks():
        if mark.name == place:
            skipped -= 1
        if mark.name == place and (skipped < 0 or place == "reading"):
            time.sleep(chance.uniform(0.0, length_s))
            running.kill()
            return


def assert_same_end(one: MadeRun, other: MadeRun) -> None:
    """The same bytes in the last state and in the file for use."""
    assert_same(one.state(), other.state())
    assert_same(last_file(one), last_file(other))
    assert one.numbers()["step"] == other.numbers()["step"]


def last_file(run: MadeRun) -> dict[str, Tensor]:
    """The tensors of the file that was written last."""
    return tensors_of(max(run.files(), key=lambda path: path.stat().st_mtime_ns))
