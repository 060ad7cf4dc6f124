"""A case with its files, and the programs that are measured at it by turns."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.race import diffusers_scripts, kohya, ours
from benchmarks.race.checkpoints import make_checkpoint
from benchmarks.race.link import Runner
from benchmarks.race.pictures import make_pictures
from benchmarks.read import memory_gib, processor

OURS, PLAIN, KOHYA, DIFFUSERS = "ours", "plain", "kohya", "diffusers"
ENDLESS = 1_000_000
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Peer:
    """Where scripts of others lie, and the Python that has what they need."""

    folder: Path
    python: str


def case(family: str = "sd1", kind: str = "lora", **changes: Any) -> dict[str, Any]:
    """The settings that every program is given; without changes those of a usual LoRA."""
    usual = {"family": family, "kind": kind, "size": "real", "side": 256, "batch": 1, "rank": 16}
    usual |= {"rate": 1e-4, "mixed": "no", "checkpointing": False, "steps": ENDLESS, "pictures": 8}
    usual["keeps_latents"] = False
    unknown = set(changes) - {*usual, "ours"}
    assert not unknown, unknown
    return usual | changes


class Bench:
    """A folder in which checkpoints and pictures are made once and used by all."""

    def __init__(self, folder: Path, peer: Peer | None, diffusers: Peer | None = None) -> None:
        self.folder = folder
        self.peer = peer
        self.diffusers = diffusers
        self._count = 0

    @contextmanager
    def runners(self, wanted: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Runner]]:
        """By a name of its own each program with its case, begun and waiting behind its first step."""
        with ExitStack() as ends:
            found = {}
            for name, (program, one) in wanted.items():
                found[name] = self.start(program, one)
                ends.callback(found[name].end)
            yield found

    def prepare(self, program: str, one: dict[str, Any], work: Path) -> None:
        """Makes what a program needs in a folder of its own."""
        work.mkdir()
        self.checkpoint(one["family"], one["size"])
        pictures = self.pictures(one["pictures"], one["side"])
        if program == KOHYA:
            kohya.make_folder(pictures, work / "pictures", max(1, 100 // one["pictures"]))
            kohya.make_tokenizers(work / "tokenizers")
        if program == DIFFUSERS:
            diffusers_scripts.make_folder(pictures, work / "pictures")
            self.model_folder(one["family"], one["size"])

    def start(self, program: str, one: dict[str, Any], place: Path | None = None) -> Runner:
        """A program that has taken its first step, in a prepared `place` or one of its own."""
        self._count += 1
        work = place or self.folder / f"run-{self._count}"
        if place is None:
            self.prepare(program, one, work)
        files = {
            "checkpoint": str(self.checkpoint(one["family"], one["size"])),
            "pictures": str(self.pictures(one["pictures"], one["side"])),
            "work": str(work),
        }
        if program == DIFFUSERS:
            assert self.diffusers is not None
            model = self.model_folder(one["family"], one["size"])
            files |= {"model": str(model), "captioned": str(work / "pictures")}
            files |= {"cache": str(work / "cache"), "output": str(work / "output")}
            command = diffusers_scripts.arguments(one, files)
            return self._named(self._peer(program, self.diffusers, one, command, work))
        if program != KOHYA:
            command = ours.arguments(one, files)
            return self._named(Runner(program, ROOT, one["size"], command, work / "log.txt"))
        assert self.peer is not None
        files |= {"kohya_pictures": str(work / "pictures"), "kohya_output": str(work / "output")}
        command = kohya.arguments(one, files | {"tokenizers": str(work / "tokenizers")})
        return self._named(self._peer(program, self.peer, one, command, work))

    def _peer(self, program: str, peer: Peer, one: dict[str, Any], command: list[str], work: Path) -> Runner:
        return Runner(program, peer.folder, one["size"], command, work / "log.txt", peer.python)

    def _named(self, runner: Runner) -> Runner:
        """Its command as results tell it: where files lay for a while says nothing."""
        runner.command = [text.replace(str(self.folder), "FOLDER") for text in runner.command]
        return runner

    def checkpoint(self, family: str, size: str) -> Path:
        path = self.folder / f"{family}-{size}.safetensors"
        if not path.exists():
            make_checkpoint(path, family, size)
        return path

    def model_folder(self, family: str, size: str) -> Path:
        """The checkpoint in diffusers' form."""
        folder = self.folder / f"{family}-{size}"
        if not folder.exists():
            diffusers_scripts.make_model(self.checkpoint(family, size), folder)
        return folder

    def pictures(self, count: int, side: int) -> Path:
        folder = self.folder / f"pictures-{count}-{side}"
        if not folder.exists():
            make_pictures(folder, count, side)
        return folder


def by_turns(runners: dict[str, Runner], steps: int, rounds: int) -> dict[str, dict[str, Any]]:
    """So many steps of each in turn, again and again; the medians by name.

    Seconds a step by the clock and of the processor; the most memory of any round.
    """
    for runner in runners.values():
        runner.steps(steps)
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            taken[name].append(runner.steps(steps))
    return {name: summed_up(found) for name, found in taken.items()}


def summed_up(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of several rounds."""
    row: dict[str, Any] = {}
    for key in ("wall_s", "cpu_s"):
        each = [one[key] / one["steps"] for one in found]
        row[f"step_{key}"] = round(statistics.median(each), 5)
        row[f"all_step_{key}"] = [round(value, 5) for value in each]
    for key in (key for key in found[0] if key.startswith("peak_")):
        row[key] = max(one[key] for one in found)
    return row


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": memory_gib(),
        "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "cards": [f"{card.name}, {card.total_memory / 2**30:.1f} GiB" for card in cards],
    }
