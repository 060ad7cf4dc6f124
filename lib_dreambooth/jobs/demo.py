"""The main job on the bundled miniature: a new subject from eight drawn pictures, before and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.grid import draw_grid
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.facts import Session, base_facts, data_facts
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.loop import train
from lib_dreambooth.training.setup import Prepared, prepare

NUM_STEPS = 150
STRENGTHS = (0.0, 0.5, 1.0)
PROMPTS = (
    subject.subject_prompt("gray"),
    subject.subject_prompt("blue"),
    "a red star on a white background",
    "a green ring on a black background",
)


@dataclass(frozen=True)
class Demo:
    """What the demonstration made."""

    lora: Path
    grid: Path
    losses: tuple[float, ...]
    prompt: str = PROMPTS[0]


def demo_settings(pictures_dir: Path) -> Run:
    """What the demonstration asks for; a user's own run differs in little more than names and folders."""
    values = {
        "model": {"base": str(MINI_CHECKPOINT)},
        "concepts": [{"folder": str(pictures_dir)}],
        "pictures": {"resolution": "128"},
        "network": {"rank": 8, "alpha": 8.0},
        "rates": {"learning_rate": 2e-3},
        "parts": {"text_encoder_1": {"rate": 1e-3}},
        "length": {"train_for": f"{NUM_STEPS} steps", "batch_size": 4},
        "draws": {"seed": 1},
        "saving": {"subfolder": False},
    }
    return settings.read(values).run


def run_demo(
    folder: Path, on_step: Callable[[int, float], None] = lambda step, loss: None, num_steps: int = NUM_STEPS
) -> Demo:
    """Does all of it in `folder`; `on_step` hears of each step and its loss."""
    pictures_dir = folder / "pictures"
    subject.write_subject(pictures_dir)
    prepared = prepare(demo_settings(pictures_dir), MINI_CHECKPOINT)
    losses = []
    for stepped in train(prepared, num_steps):
        losses.append(stepped.loss)
        on_step(stepped.step, stepped.loss)
    lora = export(prepared, folder, num_steps)
    prepared.attached.eject()
    grid = folder / "before-and-after.png"
    draw_before_and_after(Generator(prepared.model), lora, grid)
    return Demo(lora, grid, tuple(losses))


def export(prepared: Prepared, folder: Path, num_steps: int) -> Path:
    """The LoRA as a file with all that it says about itself."""
    session = Session(prepared.run.draws.seed, time.time(), num_steps)
    exporter = Exporter(
        prepared.run,
        base_facts(prepared.model),
        Folders(folder, folder, folder, folder),
        session,
        name=subject.TRIGGER,
        data=data_facts(prepared.dataset),
    )
    epoch = -(-num_steps // prepared.dataset.plan.steps_per_epoch)
    attached = prepared.attached
    return exporter.write_adapter(attached.export(), attached.names, step=num_steps, epoch=epoch).path


def draw_before_and_after(generator: Generator, lora: Path, path: Path) -> None:
    """Every prompt at every strength, the same noise along a row."""
    settings = PictureSettings(sampler="euler", guidance=4.0, width=128, height=128, batch_size=len(PROMPTS))
    requests = [Request(prompt, seed=number) for number, prompt in enumerate(PROMPTS)]
    columns = [
        list(generator.draw(requests, settings, loras=[LoraUse(lora, strength)] if strength else []))
        for strength in STRENGTHS
    ]
    titles = [f"<lora:{lora.stem}:{strength:g}>" if strength else "before" for strength in STRENGTHS]
    pictures = [column[row] for row in range(len(PROMPTS)) for column in columns]
    draw_grid(pictures, len(STRENGTHS), columns=titles, rows=PROMPTS).save(path)
