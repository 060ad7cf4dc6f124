"""A model folder as a run leaves it: card, settings, log, previews and files, made without training."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from lib_dreambooth import settings
from lib_dreambooth.jobs.report.told import told_facts
from lib_dreambooth.runs.events import (
    Event,
    Finished,
    Paused,
    Phase,
    Resumed,
    Sampled,
    Saved,
    Started,
    Step,
    Validated,
    Warned,
)
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.settings.preset import applied, named
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.sources import FORM, Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Directory, Hashed

USER = "ann-the-user"
HOME = f"/home/{USER}/pictures"
PROMPTS = ("riho, a girl in a red coat, in a park", "a girl, standing", "riho girl, smiling")
FACTS = told_facts(
    BaseFacts("sd1", "epsilon", 512, Hashed("dream-v1.safetensors", "ab12" * 16)),
    DataFacts(
        {
            "riho": Directory(10, 12, False, {"riho girl": 12, "smile": 7, "park": 3}),
            "girls": Directory(1, 120, True),
        },
        {(512, 512): 90, (448, 576): 30},
        num_validation_images=2,
    ),
)


def a_folder(tmp_path: Path, name: str = "riho 猫") -> ModelFolder:
    base = tmp_path / USER / "dream-v1.safetensors"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.write_bytes(b"weights")
    return ModelFolder.create(tmp_path / "dreambooth", name, base, "sd1", sha256="ab12" * 16)


def sourced(**changes: Any) -> Sourced:
    """Settings as a user makes them: a preset, then own values."""
    start = Sourced(settings.read({"model": {"base": f"{HOME}/dream-v1.safetensors"}}).run)
    found = applied(named("person"), start)
    values = {
        "concepts": [{"folder": f"{HOME}/riho", "token": "riho", "class_token": "girl", "repeats": 10}],
        "network": {"rank": 24},
        "parts": {"text_encoder_1": {"train": True, "rate": 5e-5}},
        "saving": {"folder": f"{HOME}/results"},
    }
    found = settings.read(values, source=FORM, base=found)
    return update(found, changes, FORM) if changes else found


class MadeRun:
    """Tells the events of a run at a clock of its own."""

    def __init__(self, folder: ModelFolder, found: Sourced | None = None) -> None:
        self.folder = folder
        self.now = 1_790_000_000.0
        self.log = EventLog(folder.events_path, clock=lambda: self.now)
        self.found = found or sourced()
        self.random = random.Random(7)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.now += 0.5
            self.log.emit(event)

    def prepare(self) -> None:
        self.copy = self.folder.inside(self.folder.keep_settings(text_of(self.found)))
        self.tell(
            Phase(name="looking at the pictures"),
            Warned(text="one picture is blurred.", where=f"{HOME}/riho/3.png", code="blurred"),
            Phase(name="reading the model"),
        )

    def start(self, run_id: str = "r1", first_step: int = 0, total: int = 300, **changes: Any) -> None:
        self.prepare()
        values: dict[str, Any] = {"steps_per_epoch": 30, "device": "cuda:0", "facts": FACTS} | changes
        self.tell(
            Started(run_id=run_id, settings_file=self.copy, num_steps=total, first_step=first_step, **values),
            Phase(name="training"),
        )

    def steps(self, first: int, last: int, every: int = 1) -> None:
        for step in range(first, last + 1, every):
            decay = math.exp(-step / 120)
            smoothed = 0.09 + 0.06 * decay
            parts = {"unet": 1e-4, "text_encoder": 5e-5}
            share = 0.5 + 0.5 * math.cos(math.pi * step / 300)
            self.tell(
                Step(
                    step=step,
                    epoch=step / 30,
                    loss=max(0.002, smoothed + self.random.gauss(0, 0.035)),
                    smoothed=smoothed,
                    rates={part: rate * share for part, rate in parts.items()},
                    grad_norm=abs(self.random.gauss(0.6, 0.2)) + decay,
                    steps_per_second=1.9,
                    memory={"used": 5_100_000_000, "peak": 7_400_000_000 + step, "free": 9_000_000_000},
                    weight_norms={"unet": 2.4 * (1 - decay), "text_encoder": 0.8 * (1 - decay)},
                )
            )

    def validate(self, step: int) -> None:
        decay = math.exp(-step / 120)
        curves = {"held out": 0.11 + 0.03 * decay + 1e-7 * step**2, "class pictures": 0.12 + 1e-5 * step}
        self.tell(Validated(step=step, curves=curves))

    def sample(self, step: int, prompts: tuple[str, ...] = PROMPTS, side: int = 256) -> None:
        files = []
        for number, _ in enumerate(prompts, start=1):
            path = self.folder.samples_dir / f"step-{step:08d}-{number:02d}-42.png"
            path.parent.mkdir(exist_ok=True)
            picture = Image.new("RGB", (side, side), (90 + step // 3, 120, 200 - 40 * number))
            inset = side * (1 - step / 400) / 2
            ImageDraw.Draw(picture).ellipse((inset, inset, side - inset, side - inset), fill=(250, 200, 90))
            picture.save(path)
            files.append(self.folder.inside(path))
        self.tell(Sampled(files=tuple(files), step=step, prompts=prompts, epoch=step / 30))

    def save(self, step: int, place: Path, reason: str = "regular") -> None:
        """A file for use in another folder, and a state in the model's own."""
        path = place / f"riho-{step:06d}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"weights of {step}".encode() * 1000)
        state = self.folder.states_dir / f"step-{step:08d}"
        state.mkdir(parents=True, exist_ok=True)
        (state / "tensors.safetensors").write_bytes(b"x" * 1000)
        when: dict[str, Any] = {"step": step, "epoch": step / 30, "reason": reason}
        self.tell(
            Saved(paths=(str(path),), what="result", num_bytes=path.stat().st_size, **when),
            Saved(paths=(self.folder.inside(state),), what="state", num_bytes=1000, **when),
        )

    def pause(self, step: int, seconds: float) -> None:
        self.tell(Paused(step=step))
        self.now += seconds
        self.tell(Resumed(step=step, seconds_paused=seconds))

    def finish(self, outcome: str, step: int, seconds: float, **told: str) -> None:
        self.tell(Finished(outcome=outcome, step=step, seconds=seconds, **told))


def whole_run(tmp_path: Path) -> ModelFolder:
    """300 steps with everything: a pause, a kill at 190, going on from the state of 180, to the end."""
    folder = a_folder(tmp_path)
    run, place = MadeRun(folder), tmp_path / USER / "Lora" / "riho"
    run.start("r1")
    run.sample(0)
    for step in range(60, 181, 60):
        run.steps(step - 59, step)
        run.save(step, place)
        run.sample(step)
        run.validate(step)
    run.steps(181, 190)
    run.pause(190, 300)
    run.log.close()
    run = MadeRun(folder)
    run.now += 4000
    run.start("r2", first_step=180)
    run.steps(181, 240)
    run.save(240, place)
    run.sample(240)
    run.validate(240)
    run.tell(Warned(text="step 250 was left out: its gradients were too large for fp16.", code="overflow"))
    run.steps(241, 300)
    run.save(300, place, "end")
    run.sample(300)
    run.validate(300)
    run.finish("done", 300, 92.5)
    run.log.close()
    return folder
