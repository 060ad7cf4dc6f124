"""One picture exactly as a visit of it will be trained: pixels after the cut, mask, and words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.buckets.cuts import Cut
from lib_dreambooth.data.class_pictures import missing, requests
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.order.batches import MicroBatch, Visit
from lib_dreambooth.data.pictures.addresses import jpeg_address, mask_address
from lib_dreambooth.data.pictures.rendering import render
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.jobs.looking import SHOWN_SEED, family_of
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.settings.deciding import decided
from lib_dreambooth.settings.length import plan_length
from lib_dreambooth.settings.sources import Sourced

# A visit further on is of no other kind than those before it.
MOST_VISITS = 10_000


@dataclass(frozen=True)
class Trained:
    """A visit. `picture` and `mask` are data addresses, the mask empty where there is none."""

    picture: str
    mask: str
    cut: Cut
    size: tuple[int, int]
    caption: str
    epoch: int
    step: int

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        cut = self.cut
        return {
            "picture": self.picture,
            "mask": self.mask,
            "size": list(self.size),
            "bucket": list(cut.size),
            "scaled": list(cut.scaled),
            "left": cut.left,
            "top": cut.top,
            "flipped": cut.flipped,
            "caption": self.caption,
            "epoch": self.epoch + 1,
            "step": self.step + 1,
        }


def dataset_of(sourced: Sourced, unpack_into: Path | None = None) -> Dataset:
    """The dataset of some settings, scanned and put in order; raises UserError where there is none."""
    family = family_of(sourced)
    side = FAMILIES[family if family in FAMILIES else "sd1"].native_size
    run = decided(sourced, native_side=side, seed=SHOWN_SEED).run
    dataset = Dataset(run, scan(run, unpack_into=unpack_into))
    length = plan_length(dataset.plan.epoch, run.length.train_for, run.length.whole_epochs)
    dataset.total_steps = length.total_steps
    return dataset


def trained(dataset: Dataset, picture_id: str, number: int) -> Trained:
    """Visit `number` (from 0) of the item of an id; raises UserError where there is none."""
    item = next((one for one in dataset.items if one.id == picture_id), None)
    if item is None:
        raise UserError(
            "there is no such picture in the folders (any more).",
            where=picture_id[:40],
            todo="Look at the pictures again.",
            code="no-such-file",
        )
    if not 0 <= number < MOST_VISITS:
        raise UserError("is no visit.", where="visit", todo=f"Choose 0 to {MOST_VISITS - 1}.")
    batch, visit = visit_of(dataset, item, number)
    handling = dataset.handling(item)
    cut = dataset.cut(visit, batch.size)
    rendered = render(item, [cut], handling.treatment)[0]
    return Trained(
        picture=jpeg_address(rendered.pixels),
        mask="" if rendered.mask is None else mask_address(rendered.mask, cut.size),
        cut=cut,
        size=item.size,
        caption=dataset.caption(visit, batch),
        epoch=batch.epoch,
        step=batch.step,
    )


def visit_of(dataset: Dataset, item: Item, number: int) -> tuple[MicroBatch, Visit]:
    """The visit with the batch that it comes in; class pictures that take turns may never have had theirs."""
    plan = dataset.plan
    epoch = number // max(item.repeats, 1)
    start = epoch * plan.steps_per_epoch
    for step in plan.steps(start, start + plan.steps_per_epoch):
        for batch in step:
            for visit in batch.visits:
                if visit.item.id == item.id and visit.number == number:
                    return batch, visit
    # Not in this epoch: as it would be.
    visit = Visit(item, number, 1.0)
    return MicroBatch(start, epoch, dataset.bucket(item), (visit,)), visit


def class_counts(dataset: Dataset, folder: ModelFolder | None = None) -> list[dict[str, Any]]:
    """For each concept how many class pictures there are, and how many more a run wants to have drawn.

    Those that were drawn for the model of `folder` before are there.
    """
    at_hand = Counter(item.concept for item in dataset.items if item.is_class)
    wanted = requests(dataset.run, dataset.items, folder.card().base.sha256 if folder else "")
    lacking = missing(wanted, folder.class_images_dir) if folder else wanted
    to_draw = Counter(one.concept for one in lacking)
    at_hand += Counter(one.concept for one in wanted) - to_draw
    return [
        {
            "concept": number,
            "folder": concept.class_folder,
            "found": at_hand[number],
            "to_draw": to_draw[number],
        }
        for number, concept in enumerate(dataset.run.concepts)
    ]
