"""A dataset looked at as a run will train it: what it holds, what is wrong, and how it makes up the steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.health.examining import examine, look
from lib_dreambooth.data.health.report import Report
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.models.tokenizer import clip_tokenizer
from lib_dreambooth.settings.deciding import decided
from lib_dreambooth.settings.length import LengthPlan, plan_length, plan_line
from lib_dreambooth.settings.sources import Sourced

# What draws are made from where the settings leave the seed to chance; a run draws its own.
SHOWN_SEED = 0
# Counts something up for a person who waits.
Counting = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class Looked:
    """A dataset that was looked at. `is_size_guessed`: nothing says which family it will be trained on."""

    folders: tuple[str, ...]
    dataset: Dataset
    report: Report
    length: LengthPlan
    is_size_guessed: bool

    @property
    def arithmetic(self) -> str:
        """From pictures to steps, in one line."""
        training = [item for item in self.dataset.items if not item.is_class]
        repeats = {item.repeats for item in training}
        beside = self.dataset.run.class_pictures.relation == "beside" and self.report.class_pictures > 0
        common = repeats.pop() if len(repeats) == 1 else None
        return plan_line(self.length, len(training), common, self.dataset.plan.num_class_visits, beside)

    def to_json(self) -> dict[str, Any]:
        """Everything for programs."""
        resolution = self.dataset.run.pictures.resolution
        return {
            "folders": list(self.folders),
            **self.report.to_json(),
            "validation_pictures": len(self.dataset.validation),
            "resolution": [resolution.width, resolution.height],
            "cuts": self.dataset.bucket_report().to_json(),
            "arithmetic": self.arithmetic,
            "steps_per_epoch": self.length.epoch.steps,
            "total_steps": self.length.total_steps,
        }


def look_at(
    sourced: Sourced, counting: Counting, unpack_into: Path | None = None, *, with_thumbnails: bool = False
) -> Looked:
    """Scans and looks at everything; raises UserError where there is nothing to train on."""
    family = family_of(sourced)
    side = FAMILIES[family if family in FAMILIES else "sd1"].native_size
    run = decided(sourced, native_side=side, seed=SHOWN_SEED).run
    with counting("Reading files") as tell:
        scanned = scan(run, unpack_into=unpack_into, progress=tell)
    dataset = Dataset(run, scanned)
    length = plan_length(dataset.plan.epoch, run.length.train_for, run.length.whole_epochs)
    # A token warm-up in percent needs the length, which follows from the pictures.
    dataset.total_steps = length.total_steps
    with counting("Looking at pictures") as tell:
        looking = look(dataset, with_thumbnails, tell)
    tokenizer = clip_tokenizer()
    report = examine(dataset, looking, scanned.findings, lambda text: len(tokenizer(text)))
    folders = tuple(concept.folder or concept.metadata_file for concept in run.concepts)
    is_guessed = sourced.run.pictures.resolution.is_auto and not family
    return Looked(folders, dataset, report, length, is_guessed)


def family_of(sourced: Sourced) -> str:
    """The family of the base model, "" where no model is named."""
    model = sourced.run.model
    if model.family != "auto":
        return model.family
    if not model.base or not Path(model.base).is_file():
        return ""
    return identify(model.base).family
