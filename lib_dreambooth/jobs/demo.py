"""The main job on the bundled miniature: a new subject from eight drawn pictures, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import drawing, subject
from lib_dreambooth.jobs.going_on import started_over
from lib_dreambooth.jobs.places import Library
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.models.read import read_model
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.sampling.drawing import PRECISIONS
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.grid import draw_grid
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings

NUM_STEPS = 140
GUIDANCE = 2.0
STRENGTHS = (0.0, 0.5, 1.0)
PROMPTS = (
    subject.subject_prompt(subject.GROUNDS[1]),
    subject.subject_prompt(subject.OTHER_GROUNDS[1]),
    f"a red {subject.CLASS} on a white background",
    "a green star on a black background",
)


@dataclass(frozen=True)
class Demo:
    """What the demonstration made."""

    lora: Path
    grid: Path
    prompt: str = PROMPTS[0]


def demo_settings(pictures_dir: Path, num_steps: int = NUM_STEPS) -> dict[str, Any]:
    """What the demonstration asks for; a user's own run differs in little more than names and folders."""
    colours, grounds = ("|".join(names) for names in (drawing.COLOURS, drawing.GROUNDS))
    concept = {
        "folder": str(pictures_dir),
        "token": subject.TRIGGER,
        "class_token": subject.CLASS,
        "class_prompt": f"a {{{colours}}} {subject.CLASS} on a {{{grounds}}} background",
    }
    return {
        "concepts": [concept],
        # Class pictures of every colour, each trained on the words it was drawn with.
        "captions": {"wildcards": True},
        "network": {"rank": 16, "alpha": 16.0},
        "rates": {"learning_rate": 4e-3},
        "parts": {"text_encoder_1": {"rate": 2e-3}},
        "class_pictures": {
            "relation": "beside",
            "draw": True,
            "per_picture": 2,
            "sampler": "ddim",
            "steps": 12,
            "guidance": GUIDANCE,
            "batch_size": 16,
        },
        "length": {"train_for": f"{num_steps} steps", "batch_size": 4},
        "draws": {"seed": 1},
        "saving": {"every": "never", "at_end": ["result"], "subfolder": False},
        # The pictures of before and after are drawn side by side afterwards.
        "previews": {"every": "never", "at_start": False, "at_end": False},
    }


def demo_job(folder: Path, num_steps: int = NUM_STEPS) -> TrainingJob:
    """The demonstration's run in `folder`; done again, it begins anew."""
    pictures_dir = folder / "pictures"
    subject.write_subject(pictures_dir)
    library = Library(folder / "models")
    model = ModelFolder(library.dreambooth / subject.TRIGGER)
    if not model.is_model:
        model = ModelFolder.create(library.dreambooth, subject.TRIGGER, MINI_CHECKPOINT, "sd1")
    return started_over(model, settings.read(demo_settings(pictures_dir, num_steps)), library.results())


def before_and_after(lora: Path, folder: Path) -> Demo:
    """Draws what the LoRA changed."""
    grid = folder / "before-and-after.png"
    draw_before_and_after(Generator(read_model(MINI_CHECKPOINT, dtype=PRECISIONS["fp32"])), lora, grid)
    return Demo(lora, grid)


def draw_before_and_after(generator: Generator, lora: Path, path: Path) -> None:
    """Every prompt at every strength, the same noise along a row."""
    pictures_settings = PictureSettings(
        sampler="ddim", guidance=GUIDANCE, width=128, height=128, batch_size=len(PROMPTS)
    )
    requests = [Request(prompt, seed=number) for number, prompt in enumerate(PROMPTS)]
    columns = [
        list(generator.draw(requests, pictures_settings, loras=[LoraUse(lora, strength)] if strength else []))
        for strength in STRENGTHS
    ]
    titles = [f"<lora:{lora.stem}:{strength:g}>" if strength else "before" for strength in STRENGTHS]
    pictures = [column[row] for row in range(len(PROMPTS)) for column in columns]
    draw_grid(pictures, len(STRENGTHS), columns=titles, rows=PROMPTS).save(path)
