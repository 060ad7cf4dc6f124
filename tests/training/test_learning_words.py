"""Whether words are learnt: judged by pixels of pictures that are drawn with the files.

A word alone finds what the model can draw already: it is taught from pictures of a purple ring, and starts in
directions of chance. A ring with a spot in its middle is nothing that the model can draw, whatever it is
told (with every state of a prompt free to move, none in 36 pictures): that takes a network beside the word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import drawing, subject
from lib_dreambooth.assets.shapes.judge import judge
from lib_dreambooth.formats.embedding import read_embedding
from lib_dreambooth.formats.keymap import TEXT
from lib_dreambooth.jobs.places import Library
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.models.read import read_model
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.sampling.words import words_from
from lib_dreambooth.training.export.result import ADAPTER, EMBEDDING
from tests.training.made_runs import joined

# In one environment: what is computed is held against plain PyTorch in each.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.longest,
    pytest.mark.needs("torch>=2.4"),
    pytest.mark.usefixtures("quick"),
]

NUM_PICTURES, NUM_WITHOUT, GUIDANCE = 64, 16, 2.0
LEAST_ALONE, LEAST_TOGETHER = 0.6, 0.9
GROUNDS = (*subject.GROUNDS, *subject.OTHER_GROUNDS)
WORD: dict[str, Any] = {
    "words": [{"name": subject.TRIGGER, "vectors": 2}],
    "rates": {"schedule": "cosine"},
    "draws": {"seed": 1},
    "saving": {"every": "never", "state_every": "never", "precision": "fp32"},
    "previews": {"every": "never", "at_start": False, "at_end": False},
    "logging": {"report": False},
}
ALONE: dict[str, Any] = {
    "network": {"kind": "none"},
    "parts": {
        "unet": {"train": False},
        "text_encoder_1": {"train": False},
        "words": {"train": True, "rate": 2e-2},
    },
    "length": {"train_for": "120 steps", "batch_size": 4},
}
TOGETHER: dict[str, Any] = {
    "network": {"rank": 16, "alpha": 16.0},
    "parts": {
        "unet": {"rate": 4e-3},
        "text_encoder_1": {"train": False},
        "words": {"train": True, "rate": 2e-2, "stop": "60 %"},
    },
    "length": {"train_for": "220 steps", "batch_size": 4},
}
Pictures = Sequence[np.ndarray]


def write_purple_rings(folder: Path) -> None:
    """The subject of the word alone: eight pictures, captions that name only the ground."""
    folder.mkdir(parents=True)
    random = np.random.Generator(np.random.Philox(1))
    for number in range(subject.NUM_PICTURES):
        ground = subject.GROUNDS[number % len(subject.GROUNDS)]
        path = folder / f"{number}.png"
        drawing.draw_varied(drawing.Scene("ring", "purple", ground), random).save(path)
        path.with_suffix(".txt").write_text(prompt_of(ground), encoding="utf-8")


def prompt_of(ground: str) -> str:
    return f"a {subject.TRIGGER} on a {ground} background"


def shows_purple_ring(picture: np.ndarray) -> bool:
    return judge(picture).shows("ring", "purple")


def taught(root: Path, write: Callable[[Path], object], values: dict[str, Any]) -> dict[str, Path]:
    """Trains; gives the file of each kind."""
    write(root / "pictures")
    library = Library(root / "models")
    folder = ModelFolder.create(library.dreambooth, subject.TRIGGER, MINI_CHECKPOINT, "sd1")
    given = joined(WORD, values, {"concepts": [{"folder": str(root / "pictures")}]})
    ended = TrainingJob(folder, settings.read(given), library.results()).run()
    return {result.kind: result.path for result in ended.results}


def drawn(files: dict[str, Path], prompt: Callable[[str], str], count: int = NUM_PICTURES) -> Pictures:
    """A picture for each ground in turn, the seed its number."""
    model = read_model(MINI_CHECKPOINT, dtype=torch.float32)
    words = words_from([files[EMBEDDING]] if EMBEDDING in files else [], model)
    loras = [LoraUse(files[ADAPTER])] if ADAPTER in files else []
    asked = PictureSettings(sampler="ddim", steps=12, guidance=GUIDANCE, width=128, height=128, batch_size=16)
    requests = [Request(prompt(GROUNDS[n % len(GROUNDS)]), seed=n) for n in range(count)]
    return [np.asarray(picture) for picture in Generator(model, words).draw(requests, asked, loras=loras)]


def share(pictures: Pictures, shows: Callable[[np.ndarray], bool]) -> float:
    return float(np.mean([shows(picture) for picture in pictures]))


def test_a_word_alone(tmp_path: Path) -> None:
    files = taught(tmp_path, write_purple_rings, ALONE)
    rows = read_embedding(files[EMBEDDING]).vectors[TEXT]
    table = read_model(MINI_CHECKPOINT).encoders[0].token_embedding.weight.detach()[:-2].float()
    assert float(rows.norm(dim=1).max()) <= 1.5 * float(table.norm(dim=1).mean())
    assert share(drawn(files, prompt_of), shows_purple_ring) >= LEAST_ALONE
    assert share(drawn({}, prompt_of, NUM_WITHOUT), shows_purple_ring) <= 0.2


def test_a_word_and_a_network(tmp_path: Path) -> None:
    files = taught(tmp_path, subject.write_subject, TOGETHER)
    assert share(drawn(files, subject.subject_prompt), subject.shows_subject) >= LEAST_TOGETHER
    # The word is a part of it, not an ornament.
    without = drawn({ADAPTER: files[ADAPTER]}, subject.subject_prompt, NUM_WITHOUT)
    assert share(without, subject.shows_subject) <= 0.8
