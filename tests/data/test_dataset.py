"""A scanned run as steps and tensors: the same for any number of workers and processes."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_dreambooth.base.durations import percent
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.ahead import ahead
from lib_dreambooth.data.cache.latents import LatentCache
from lib_dreambooth.data.cache.stores import DiskStore, MemoryStore, Tensors
from lib_dreambooth.data.cache.texts import TextCache
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.feeding.batch import Assembler, Batch, draw_latents
from lib_dreambooth.data.feeding.feed import feed
from lib_dreambooth.data.order.batches import MicroBatch
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.settings.schema import (
    Captions,
    ClassPictures,
    Concept,
    Draws,
    Length,
    Pictures,
    Run,
    Validation,
)
from lib_dreambooth.settings.values import Size
from tests.data.drawn_files import save, save_gradient

SMALL = Pictures(resolution=Size(64, 64), bucket_step=8)


def encode(pixels: Tensor) -> tuple[Tensor, Tensor]:
    mean = torch.nn.functional.avg_pool2d(pixels, 8).repeat(1, 2, 1, 1)[:, :4]
    return mean, torch.full_like(mean, 0.25)


def made_folder(folder: Path, count: int = 7, start: int = 0) -> Path:
    for k in range(start, start + count):
        save_gradient(folder / f"{k}.png", 80 + 7 * k, 100)
        (folder / f"{k}.txt").write_text(f"riho, tag{k}, smile, hat, outdoors", encoding="utf-8")
    return folder


def made_dataset(
    tmp_path: Path, concepts: tuple[Concept, ...] = (), processes: int = 1, **sections: Any
) -> Dataset:
    if not concepts:
        concepts = (Concept(folder=str(made_folder(tmp_path / "p")), repeats=2),)
    sections = {"pictures": SMALL, "draws": Draws(seed=5), "length": Length(batch_size=3)} | sections
    run = Run(concepts=concepts, **sections)
    return Dataset(run, scan(run), processes=processes)


def equal(one: Batch, other: Batch) -> bool:
    if (one.plan, one.captions) != (other.plan, other.captions):
        return False
    for name in ("shares", "size_ids", "latents", "pixels", "masks"):
        left, right = getattr(one, name), getattr(other, name)
        if (left is None) != (right is None) or (left is not None and not torch.equal(left, right)):
            return False
    return True


def filled(dataset: Dataset, store: Any = None) -> LatentCache:
    cache = LatentCache(store or MemoryStore(), "vae")
    report = cache.fill(dataset.wanted(dataset.plan.pairs_of_epoch(0)), encode)
    assert not report.failed
    return cache


@pytest.mark.parametrize("cached", [True, False])
def test_workers_change_nothing_about_batches(tmp_path: Path, cached: bool) -> None:
    pictures = Pictures(
        resolution=Size(64, 64), bucket_step=8, flip=True, crop="random",
        colour_change="off" if cached else "gentle",
    )  # fmt: skip
    dataset = made_dataset(tmp_path, pictures=pictures, captions=Captions(shuffle=True, tag_dropout=0.2))
    assembler = Assembler(dataset, filled(dataset) if cached else None)
    expected = [[assembler.make(b) for b in dataset.plan.step(n)] for n in range(12)]
    for workers, depth in ((0, 0), (1, 0), (1, 1), (2, 9), (4, 0)):
        steps = list(feed(dataset.plan, assembler.make, 0, 12, workers=workers, depth=depth))
        assert [len(step) for step in steps] == [len(step) for step in expected]
        for step, wanted in zip(steps, expected, strict=True):
            assert all(equal(a, b) for a, b in zip(step, wanted, strict=True))
    resumed = next(feed(dataset.plan, assembler.make, 7, 8, workers=2))
    assert all(equal(a, b) for a, b in zip(resumed, expected[7], strict=True))
    fields = (expected[0][0].latents, expected[0][0].pixels)
    assert (fields[0] is not None) == cached and (fields[1] is None) == cached


@pytest.mark.parametrize("relation", ["off", "mixed", "beside"])
def test_every_split_of_the_work_visits_what_was_promised(tmp_path: Path, relation: str) -> None:
    classes = made_folder(tmp_path / "c", 3, 20)
    concept = Concept(folder=str(made_folder(tmp_path / "p")), repeats=2, class_folder=str(classes))
    seen: dict[tuple[int, int], list[Any]] = {}
    for batch, accumulation, processes in itertools.product((1, 3, 8), (1, 3), (1, 2)):
        dataset = made_dataset(
            tmp_path,
            (concept,),
            processes,
            length=Length(batch_size=batch, accumulation=accumulation),
            class_pictures=ClassPictures(relation=relation),
        )
        plan = dataset.plan
        for workers in (0, 1, 2, 4):
            rows = [
                (v.item.id, v.number)
                for process in range(processes)
                for step in feed(plan, keep, 0, plan.steps_per_epoch, process=process, workers=workers)
                for micro in step
                if not micro.is_idle
                for v in micro.visits
            ]
            own = Counter(row for row in rows if not is_class(dataset, row[0]))
            assert own == Counter((i.id, n) for i in dataset.items if not i.is_class for n in range(2))
            others = len(rows) - own.total()
            assert others == (0 if relation == "off" else 14)
            # What is in the epoch depends on nothing but the pictures; its order not on the workers.
            assert sorted(rows) == sorted(seen.setdefault((0, 0), rows))
            assert rows == seen.setdefault((batch, accumulation * 10 + processes), rows)


def keep(micro: MicroBatch) -> MicroBatch:
    return micro


def is_class(dataset: Dataset, name: str) -> bool:
    return next(item for item in dataset.items if item.id == name).is_class


def test_processes_together_do_what_one_does(tmp_path: Path) -> None:
    alone = made_dataset(tmp_path, length=Length(batch_size=2, accumulation=2))
    pair = made_dataset(tmp_path, processes=2, length=Length(batch_size=2, accumulation=1))
    for number in range(alone.plan.steps_per_epoch * 2):
        parts = [next(feed(pair.plan, keep, number, process=p, workers=0)) for p in (0, 1)]
        together = [b for round_ in zip(*parts, strict=True) for b in round_ if not b.is_idle]
        assert together == alone.plan.step(number)
    assert alone.caption(alone.plan.step(3)[0].visits[0], alone.plan.step(3)[0]) == pair.caption(
        pair.plan.step(3)[0].visits[0], pair.plan.step(3)[0]
    )


def test_latents_are_drawn_from_mean_and_spread_anew_at_each_visit(tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path)
    cache = filled(dataset)
    found = []
    for visit, size in ((v, b.size) for n in range(60) for b in dataset.plan.step(n) for v in b.visits):
        if visit.item.id == dataset.plan.items[0].id:
            moments = cache.moments(
                visit.item, dataset.cut(visit, size), dataset.handling(visit.item).treatment
            )
            assert moments is not None
            found.append((draw_latents([moments], [visit], 5) - moments.mean) / moments.std)
    together = torch.stack(found)
    assert len(found) > 15 and len({one.sum().item() for one in found}) == len(found)
    assert abs(together.mean()) < 0.05 and abs(together.std() - 1) < 0.05


def test_frozen_latents_are_the_same_at_each_visit(tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path)
    assembler = Assembler(dataset, filled(dataset), fresh=False)
    rows: dict[str, set[bytes]] = {}
    for number in range(dataset.plan.steps_per_epoch):
        for batch in map(assembler.make, dataset.plan.step(number)):
            assert batch.latents is not None
            for visit, latent in zip(batch.plan.visits, batch.latents, strict=True):
                rows.setdefault(visit.item.id, set()).add(latent.numpy().tobytes())
    assert {len(found) for found in rows.values()} == {1}


def test_disk_and_memory_feed_the_same(tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path)
    one = Assembler(dataset, filled(dataset, DiskStore(tmp_path / "cache")))
    other = Assembler(dataset, filled(dataset))
    for number in range(4):
        for micro in dataset.plan.step(number):
            assert equal(one.make(micro), other.make(micro))


def test_masks_stand_where_one_picture_of_a_batch_has_one(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    save_gradient(folder / "a.png", 64, 64)
    save_gradient(folder / "b.png", 64, 65)
    save(folder / "b-mask.png", Image.new("L", (64, 65), 0))
    dataset = made_dataset(tmp_path, (Concept(folder=str(folder)),), length=Length(batch_size=2))
    for assembler in (Assembler(dataset, filled(dataset)), Assembler(dataset)):
        batch = assembler.make(dataset.plan.step(0)[0])
        assert batch.masks is not None and batch.masks.shape == (2, 1, 8, 8)
        by_name = {
            Path(v.item.path).name: mask for v, mask in zip(batch.plan.visits, batch.masks, strict=True)
        }
        assert by_name["a.png"].eq(1).all() and by_name["b.png"].eq(0).all()


def test_size_ids_follow_the_cut(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    save_gradient(folder / "a.png", 200, 100)
    pictures = Pictures(resolution=Size(64, 64), buckets=False)
    dataset = made_dataset(tmp_path, (Concept(folder=str(folder)),), pictures=pictures)
    batch = Assembler(dataset, filled(dataset)).make(dataset.plan.step(0)[0])
    assert batch.size_ids.tolist() == [[100, 200, 0, 32, 64, 64]]


def states(captions: Any) -> list[Tensors]:
    return [{"hidden": torch.full((2, 3), float(len(text)))} for text in captions]


def test_the_captions_of_a_coming_epoch_are_known(tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path, captions=Captions(shuffle=True, tag_dropout=0.3, dropout=0.1))
    cache = TextCache(MemoryStore(), "clip")
    plan = dataset.plan
    assembler = Assembler(dataset, filled(dataset), cache)
    for epoch in (0, 1, 4):
        cache.prepare(dataset.captions_of_epoch(epoch), states)
        start = epoch * plan.steps_per_epoch
        for step in feed(plan, assembler.make, start, start + plan.steps_per_epoch):
            for batch in step:
                assert batch.texts is not None
                assert batch.texts["hidden"][:, 0, 0].tolist() == [len(text) for text in batch.captions]
    assert dataset.captions_of_epoch(0) != dataset.captions_of_epoch(1)


def test_a_concepts_own_settings_hold_for_it(tmp_path: Path) -> None:
    one = Concept(
        folder=str(made_folder(tmp_path / "p", 2)), override={"pictures.resolution": Size(128, 128)}
    )
    two = Concept(folder=str(made_folder(tmp_path / "q", 2, 10)), override={"captions.prefix": "x"})
    dataset = made_dataset(tmp_path, (one, two), length=Length(batch_size=1))
    areas = {
        (item.concept, (lambda b: b[0] * b[1] > 64 * 64)(dataset.bucket(item))) for item in dataset.items
    }
    assert areas == {(0, True), (1, False)}
    for step in dataset.plan.steps(0, dataset.plan.steps_per_epoch):
        visit = step[0].visits[0]
        assert dataset.caption(visit, step[0]).startswith("x ") == (visit.item.concept == 1)


def test_fresh_crops_and_colour_changes_are_not_cached(tmp_path: Path) -> None:
    for pictures in (
        Pictures(resolution=Size(64, 64), crop="random", crops_per_picture=0),
        Pictures(resolution=Size(64, 64), colour_change="kohya"),
    ):
        dataset = made_dataset(tmp_path, pictures=pictures)
        assert dataset.wanted(dataset.plan.pairs_of_epoch(0)) == []
        batch = Assembler(dataset, LatentCache(MemoryStore(), "vae")).make(dataset.plan.step(0)[0])
        assert batch.latents is None and batch.pixels is not None
        assert batch.pixels.shape[0] == len(batch.captions) and batch.pixels.abs().max() <= 1


def test_held_back_pictures_are_measured_and_not_trained(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "p", 12)
    dataset = made_dataset(tmp_path, (Concept(folder=str(folder)),), validation=Validation(share=0.4, seed=3))
    measured = {v.item.id for b in dataset.validation_batches() for v in b.visits}
    trained = {
        v.item.id for s in dataset.plan.steps(0, dataset.plan.steps_per_epoch) for b in s for v in b.visits
    }
    assert measured and trained and not measured & trained and len(measured | trained) == 12


def test_every_picture_can_be_shown_as_it_is_trained(tmp_path: Path) -> None:
    for pictures in (SMALL, Pictures(resolution=Size(64, 64), crop="random", crops_per_picture=0, flip=True)):
        dataset = made_dataset(tmp_path, pictures=pictures)
        report = dataset.bucket_report()
        assert [row.path for row in report.rows] == [item.path for item in dataset.items]
        assert sum(report.visits.values()) == 14
        for item in dataset.items:
            width, height = dataset.bucket(item)
            assert dataset.rendered(item).pixels.shape == (height, width, 3)


def test_a_token_warm_up_in_percent_follows_the_length(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "p", 1)
    run = Run(
        concepts=(Concept(folder=str(folder)),),
        pictures=SMALL,
        draws=Draws(seed=1),
        captions=Captions(token_warmup=percent(100), keep_tokens=1),
    )
    dataset = Dataset(run, scan(run), total_steps=100)
    counts = []
    for number in (0, 50, 99, 100):
        step = dataset.plan.step(number)
        counts.append(len(dataset.caption(step[0].visits[0], step[0]).split(",")))
    assert counts == [2, 3, 4, 5]


def test_pictures_that_turned_out_unusable_are_left_out(tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path)
    gone = dataset.items[2]
    Path(gone.path).unlink()
    cache = LatentCache(MemoryStore(), "vae")
    report = cache.fill(dataset.wanted(dataset.plan.pairs_of_epoch(0)), encode)
    assert set(report.failed) == {gone.id}
    with pytest.raises(UserError, match="latent of a picture is gone"):
        list(feed(dataset.plan, Assembler(dataset, cache).make, 0, dataset.plan.steps_per_epoch))
    with pytest.raises(FileError, match="this picture is gone"):
        list(feed(dataset.plan, Assembler(dataset).make, 0, dataset.plan.steps_per_epoch, workers=2))
    run = dataset.run
    smaller = Dataset(run, scan(run), without=frozenset(report.failed))
    assert len(smaller.items) == 6
    list(feed(smaller.plan, Assembler(smaller, cache).make, 0, smaller.plan.steps_per_epoch))


def test_work_ahead_keeps_order_and_is_bounded() -> None:
    started: list[int] = []
    lock = threading.Lock()

    def tasks() -> Iterator[int]:
        yield from range(50)

    def make(number: int) -> int:
        with lock:
            started.append(number)
        return number * 2

    results = ahead(make, tasks(), workers=3, depth=5)
    assert next(results) == 0
    assert max(started) <= 6
    assert [next(results) for _ in range(10)] == [2 * k for k in range(1, 11)]
    results.close()
    assert len(started) < 50


def test_an_error_comes_out_at_its_place() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    for workers in (0, 2):
        results = ahead(make, range(9), workers)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="three"):
            next(results)
