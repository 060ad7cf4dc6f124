"""Whether a run teaches what it is given and leaves alone what it is not: judged by pixels of drawn pictures.

A ring with a spot in its middle is taught from eight pictures. Rings of a named colour are its class.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import drawing, subject
from lib_dreambooth.assets.shapes.judge import judge
from lib_dreambooth.jobs.places import Library
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.models.read import read_model
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from tests.training.made_runs import joined

pytestmark = [pytest.mark.slow, pytest.mark.longest]
NUM_PICTURES = 64
HALF_PICTURES = 12
GUIDANCE = 2.0
FORGETTING_STEPS = 100
COMMON: dict[str, Any] = {
    "length": {"batch_size": 4},
    "draws": {"seed": 1},
    "saving": {"every": "never", "state_every": "never", "at_end": ["result"], "precision": "fp32"},
    "previews": {"every": "never", "at_start": False, "at_end": False},
    "logging": {"report": False},
}
KINDS: dict[str, dict[str, Any]] = {
    "LoRA": {
        "length": {"train_for": "450 steps"},
        "network": {"rank": 16, "alpha": 16.0},
        "rates": {"learning_rate": 4e-3, "schedule": "cosine"},
        "parts": {"text_encoder_1": {"rate": 2e-3}},
    },
    "whole": {
        "length": {"train_for": "400 steps"},
        "network": {"kind": "none"},
        "rates": {"learning_rate": 8e-4, "schedule": "cosine"},
        "parts": {"text_encoder_1": {"rate": 4e-4}},
    },
}
# Each in one environment: twenty steps of both are held against the same committed losses in each.
IN_ENVIRONMENTS = [
    pytest.param("LoRA", marks=pytest.mark.needs("torch<2.4")),
    pytest.param("whole", marks=pytest.mark.needs("torch>=2.4")),
]
# Pictures of the class as a user has them lying about: as many of each colour and ground.
BESIDE: dict[str, Any] = {"class_pictures": {"relation": "beside", "draw": False}}
CLASS_ROUNDS = 4
GROUNDS = (*subject.GROUNDS, *subject.OTHER_GROUNDS)
CLASS_SCENES = [scene for scene in drawing.all_scenes() if scene.shape == subject.CLASS]


@dataclass(frozen=True)
class Taught:
    """A result, and how it is drawn with."""

    path: Path
    is_whole: bool

    def draw(self, prompts: Sequence[str], strength: float = 1.0) -> list[np.ndarray]:
        """A picture for each prompt, the seed its number."""
        base = self.path if self.is_whole else MINI_CHECKPOINT
        loras = [] if self.is_whole or not strength else [LoraUse(self.path, strength)]
        generator = Generator(read_model(base, dtype=torch.float32))
        drawn = PictureSettings(
            sampler="ddim", steps=12, guidance=GUIDANCE, width=128, height=128, batch_size=16
        )
        requests = [Request(prompt, seed=number) for number, prompt in enumerate(prompts)]
        return [np.asarray(picture) for picture in generator.draw(requests, drawn, loras=loras)]


def write_class(folder: Path) -> None:
    """Class pictures with a caption beside each."""
    folder.mkdir(parents=True)
    random = np.random.Generator(np.random.Philox(21))
    for number, scene in enumerate(CLASS_SCENES * CLASS_ROUNDS):
        path = folder / f"{number:03d}.png"
        drawing.draw_varied(scene, random).save(path)
        path.with_suffix(".txt").write_text(scene.prompt, encoding="utf-8")


def teach(root: Path, *changes: Mapping[str, Any]) -> Taught:
    """Trains in a model folder of its own."""
    subject.write_subject(root / "pictures")
    concept = {
        "folder": str(root / "pictures"),
        "token": subject.TRIGGER,
        "class_token": subject.CLASS,
    }
    if BESIDE in changes:
        write_class(root / "class")
        concept["class_folder"] = str(root / "class")
    library = Library(root / "models")
    folder = ModelFolder.create(library.dreambooth, subject.TRIGGER, MINI_CHECKPOINT, "sd1")
    values = joined(COMMON, {"concepts": [concept]}, *changes)
    ended = TrainingJob(folder, settings.read(values), library.results()).run()
    return Taught(ended.results[-1].path, is_whole=values["network"].get("kind") == "none")


BASE = Taught(MINI_CHECKPOINT, is_whole=True)


def subject_prompts() -> list[str]:
    return [subject.subject_prompt(GROUNDS[number % len(GROUNDS)]) for number in range(NUM_PICTURES)]


def shown(pictures: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([subject.shows_subject(picture) for picture in pictures])


def class_score(taught: Taught) -> float:
    """The share of class prompts whose shape and colour are seen."""
    pictures = taught.draw([scene.prompt for scene in CLASS_SCENES])
    pairs = zip(pictures, CLASS_SCENES, strict=True)
    return float(np.mean([judge(picture).shows(scene.shape, scene.colour) for picture, scene in pairs]))


@functools.cache
def class_score_of_base() -> float:
    return class_score(BASE)


def test_the_base_does_not_know_the_subject() -> None:
    assert not shown(BASE.draw(subject_prompts()[: len(GROUNDS) * 3])).any()


# One test for all that a run is asked: training is what costs.
@pytest.mark.parametrize("kind", IN_ENVIRONMENTS)
def test_the_subject_is_learned_and_the_class_is_kept(kind: str, tmp_path: Path) -> None:
    taught = teach(tmp_path, KINDS[kind], BESIDE)
    full = taught.draw(subject_prompts())
    found = shown(full)
    is_new_ground = np.array(
        [GROUNDS[n % len(GROUNDS)] in subject.OTHER_GROUNDS for n in range(NUM_PICTURES)]
    )
    assert found.mean() >= 0.9
    assert found[is_new_ground].mean() >= 0.9
    assert class_score(taught) >= 0.9 * class_score_of_base()
    if not taught.is_whole:
        half_lies_between(taught, full[:HALF_PICTURES])


def half_lies_between(taught: Taught, full: Sequence[np.ndarray]) -> None:
    """Strength 0.5 gives pictures between those of 0 and of 1."""
    prompts = subject_prompts()[: len(full)]
    none, half = (np.stack(taught.draw(prompts, strength)).astype(float) for strength in (0.0, 0.5))
    whole_way = np.abs(np.stack(full) - none).mean()
    assert 0 < np.abs(half - none).mean() < whole_way
    assert 0 < np.abs(half - np.stack(full)).mean() < whole_way


@pytest.mark.parametrize("kind", IN_ENVIRONMENTS)
def test_the_class_is_lost_without_class_pictures(kind: str, tmp_path: Path) -> None:
    forgetful = teach(tmp_path, KINDS[kind], {"length": {"train_for": f"{FORGETTING_STEPS} steps"}})
    assert class_score(forgetful) <= class_score_of_base() - 0.1
