"""A scanned run as steps: the plan, and for each visit its cut and its caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from lib_dreambooth.data.buckets.cuts import Cut, size_ids
from lib_dreambooth.data.buckets.report import BucketReport, bucket_report
from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.cache.latents import Wanted
from lib_dreambooth.data.captions.choices import Visit as CaptionVisit
from lib_dreambooth.data.captions.compose import Line, caption_for, lines_of, warmup_steps
from lib_dreambooth.data.handling import Handling, handlings
from lib_dreambooth.data.holdout import hold_out
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.order.batches import MicroBatch, Visit, fixed_batches
from lib_dreambooth.data.order.plan import OrderSettings, Plan
from lib_dreambooth.data.pictures.rendering import Rendered, render
from lib_dreambooth.data.scanning.scan import Scan
from lib_dreambooth.settings.schema import Run


class Dataset:
    """Everything about the pictures of a run that can be known without encoding one.

    `run` has its resolution and seed decided. `total_steps` is needed by a token warm-up in percent alone.
    `related` are ids that show the same thing, `without` those that turned out unusable after the scan.
    """

    def __init__(
        self,
        run: Run,
        scan: Scan,
        *,
        processes: int = 1,
        related: Iterable[tuple[str, str]] = (),
        total_steps: int | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        assert run.draws.seed >= 0, "the seed is decided before pictures are put in order"
        self.run = run
        self.handlings = handlings(run)
        self.total_steps = total_steps
        items = [item for item in scan.items if item.id not in without]
        split = hold_out(items, run.validation.share, validation_seed(run), related)
        self.items = split.training
        self.validation = (*split.held_out, *(item for item in scan.validation if item.id not in without))
        self._lines: dict[str, tuple[Line, ...]] = {}
        self._processes = processes

    @cached_property
    def plan(self) -> Plan:
        """The order of the whole run."""
        run = self.run
        settings = OrderSettings(
            run.length.batch_size,
            run.length.accumulation,
            self._processes,
            run.draws.seed,
            run.class_pictures.relation,  # type: ignore[arg-type]
            run.class_pictures.surplus == "rotate",
        )
        weights = {number: handling.concept.weight for number, handling in enumerate(self.handlings)}
        return Plan(self.items, [self.bucket(item) for item in self.items], settings, weights)

    def handling(self, item: Item) -> Handling:
        """The settings that hold for an item."""
        return self.handlings[item.concept]

    def bucket(self, item: Item) -> Pixels:
        """The bucket that an item belongs to by its shape."""
        return self.handling(item).bucket(item)

    def cut(self, visit: Visit, size: Pixels) -> Cut:
        """How the picture of a visit is cut."""
        return self.handling(visit.item).cut(visit.item, size, visit.number)

    def size_ids(self, visit: Visit, size: Pixels) -> tuple[int, ...]:
        """What SDXL is told about a visit."""
        kohya = self.handling(visit.item).pictures.size_ids == "kohya"
        return size_ids(self.cut(visit, size), visit.item.size, kohya)

    def caption(self, visit: Visit, batch: MicroBatch) -> str:
        """What the picture of a visit is trained on."""
        captions = self.handling(visit.item).captions
        warmup = warmup_steps(captions, self.plan.steps_per_epoch, self.total_steps)
        named = CaptionVisit(
            self.run.draws.seed, visit.item.id, visit.number, batch.epoch, batch.step, warmup
        )
        return caption_for(self.lines(visit.item), captions, named)

    def lines(self, item: Item) -> tuple[Line, ...]:
        """An item's captions before anything is drawn."""
        if item.id not in self._lines:
            handling = self.handling(item)
            self._lines[item.id] = lines_of(item, handling.captions, handling.concept, handling.wording)
        return self._lines[item.id]

    def captions_of(self, steps: Iterable[Sequence[MicroBatch]]) -> list[str]:
        """The different captions of some steps, sorted: what has to be encoded before them."""
        return sorted({self.caption(v, batch) for step in steps for batch in step for v in batch.visits})

    def captions_of_epoch(self, epoch: int) -> list[str]:
        """The different captions of an epoch."""
        start = epoch * self.plan.steps_per_epoch
        return self.captions_of(self.plan.steps(start, start + self.plan.steps_per_epoch))

    def wanted(self, pairs: Iterable[tuple[Item, Pixels]]) -> list[Wanted]:
        """Every cut of these pictures that can be cached; see `Plan.pairs_of_epoch`."""
        return [
            Wanted(item, cut, self.handling(item).treatment)
            for item, size in pairs
            if self.handling(item).can_cache(item)
            for cut in self.handling(item).cuts(item, size)
        ]

    def rendered(self, item: Item) -> Rendered:
        """An item as it is trained, for showing: the first of its cuts, unflipped where there is one."""
        cut = self.handling(item).cut_to_show(item, self.bucket(item))
        return render(item, [cut], self.handling(item).treatment)[0]

    def bucket_report(self) -> BucketReport:
        """What buckets do to each picture, and how full they are."""
        rows = []
        for item in self.items:
            handling, size = self.handling(item), self.bucket(item)
            rows.append((item, handling.cuts(item, size) or (handling.cut_to_show(item, size),)))
        return bucket_report(rows, self.plan.visits)

    def validation_batches(self) -> list[MicroBatch]:
        """The pictures that are only measured, in a fixed order, each once."""
        buckets = [self.bucket(item) for item in self.validation]
        return fixed_batches(self.validation, buckets, self.run.length.batch_size)


def validation_seed(run: Run) -> int:
    """The seed that decides which pictures are held back."""
    return run.validation.seed if run.validation.seed >= 0 else run.draws.seed
