"""The report on a dataset as a run will train it; what the command and the page ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from lib_dreambooth.data.captions.preview import CountTokens, Pace
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.health.likeness import similar_pairs
from lib_dreambooth.data.health.loading import loader
from lib_dreambooth.data.health.measures import Fit
from lib_dreambooth.data.health.report import Looking, Report, look_at, report
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.settings.schema import Captions, Concept


def look(
    dataset: Dataset,
    with_thumbnails: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Looking:
    """Looks at every picture of a dataset once, as it will be trained."""
    load = loader(lambda item: dataset.handling(item).pictures)
    return look_at(dataset.items, load, with_thumbnails, progress, check_cancelled)


def examine(
    dataset: Dataset,
    looking: Looking,
    scan_findings: Iterable[Finding] = (),
    count_tokens: CountTokens | None = None,
) -> Report:
    """The report; with `count_tokens` it shows what each picture is trained on."""

    def settings_of(item: Item) -> tuple[Captions, Concept]:
        handling = dataset.handling(item)
        return handling.captions, handling.concept

    plan = dataset.plan
    pace = Pace(dataset.run.draws.seed, plan.steps_per_epoch, dataset.total_steps)
    fits = {item.id: fit_of(dataset, item) for item in dataset.items}
    return report(dataset.items, settings_of, fits, looking, scan_findings, count_tokens, pace)


def fit_of(dataset: Dataset, item: Item) -> Fit:
    """How an item goes into its bucket at its first visit."""
    handling = dataset.handling(item)
    return Fit.of(item.size, handling.cut(item, handling.bucket(item), 0))


def related_pairs(items: Sequence[Item], looking: Looking) -> Iterator[tuple[str, str]]:
    """Pairs of ids that show the same thing, for keeping them on one side of a held-out split."""
    seen = [item for item in items if item.path in looking.measures]
    likes = [looking.measures[item.path].likeness for item in seen]
    for a, b, _ in similar_pairs(likes):
        yield seen[a].id, seen[b].id
