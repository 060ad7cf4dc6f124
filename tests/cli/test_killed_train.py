"""Kill the process anywhere, `resume`, and the files are those of a run that never stopped."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lib_dreambooth.runs.events import Finished, Phase
from lib_dreambooth.runs.reading import read_events
from tests.cli.made_settings import NAME, Shelf

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
OWN = [
    "--length.train_for",
    "8 steps",
    "--set",
    "saving.every=5 steps",
    "--set",
    "saving.state_every=3 steps",
]


def started(shelf: Shelf, command: str, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "lib_dreambooth", *shelf.words(command, *words)]
    with (shelf.root / "said.txt").open("ab") as said:
        return subprocess.Popen(line, env=environment, stdout=said, stderr=said, cwd=shelf.root)


def wait_for_phase(shelf: Shelf, process: subprocess.Popen[bytes], after: int) -> None:
    """Until the process has told something of its own."""
    path = shelf.folder() / "events.jsonl"
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if any(isinstance(event, Phase) for event in read_events(path, after)):
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    alone, killed = Shelf(tmp_path / "alone"), Shelf(tmp_path / "killed")
    assert started(alone, "train", "--name", NAME, *OWN).wait(240) == 0
    moments = random.Random(7)
    command, words = "train", ["--name", NAME, *OWN]
    for _ in range(2):
        events = read_events(killed.folder() / "events.jsonl")
        process = started(killed, command, *words)
        wait_for_phase(killed, process, events[-1].sequence if events else 0)
        time.sleep(moments.uniform(0.0, 2.5))
        process.kill()
        process.wait()
        command, words = "resume", [NAME]
        if any(isinstance(event, Finished) for event in read_events(killed.folder() / "events.jsonl")):
            break
    else:
        assert started(killed, command, *words).wait(240) == 0, (killed.root / "said.txt").read_text("utf-8")
    pairs = [(alone.models / "Lora" / one, killed.models / "Lora" / one) for one in alone.loras]
    assert len(pairs) == 2
    for one, other in pairs:
        tensors, others = load_file(one), load_file(other)
        assert list(tensors) == list(others)
        assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
