"""The cache: right content, whole files, the same bytes however it came about."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.data.buckets.cuts import CutSettings, possible_cuts
from lib_dreambooth.data.cache import stores
from lib_dreambooth.data.cache.checksums import checksum
from lib_dreambooth.data.cache.keeping import CacheMode, open_store, where_to_keep
from lib_dreambooth.data.cache.keys import grouped, latent_key, text_key
from lib_dreambooth.data.cache.latents import LatentCache, Wanted, num_bytes_of
from lib_dreambooth.data.cache.stores import DiskStore, MemoryStore, Store, Tensors
from lib_dreambooth.data.cache.texts import TextCache
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.rendering import Treatment
from lib_dreambooth.data.scanning.facts import hash_path
from tests.data.drawn_files import save_gradient, save_plain
from tests.data.made_items import made_item

CUTTING = CutSettings("random", 2, flip=True)


def encode(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Stands in for a VAE; like one, its last bits tell how many pictures it got at once."""
    mean = torch.nn.functional.avg_pool2d(pixels, 8) * (1.0 + len(pixels) * 1e-6)
    return mean.repeat(1, 2, 1, 1)[:, :4], mean.abs().repeat(1, 2, 1, 1)[:, :4] + 0.01


class Counting:
    def __init__(self, stop_after: int = 10**9) -> None:
        self.sizes: list[int] = []
        self.stop_after = stop_after

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.sizes.append(len(pixels))
        return encode(pixels)

    def check(self) -> None:
        if len(self.sizes) >= self.stop_after:
            raise Cancelled


def pictures(folder: Path, count: int) -> list[Item]:
    items = []
    for k in range(count):
        path = save_gradient(folder / f"{k}.png", 80 + k, 64)
        content = hash_path(path)
        items.append(replace(made_item(k, size=(80 + k, 64)), id=content, content=content, path=str(path)))
    return items


def wanted(items: list[Item]) -> list[Wanted]:
    return [
        Wanted(item, cut, Treatment()) for item in items for cut in possible_cuts(item, (64, 64), CUTTING, 0)
    ]


def contents(store: Store, cache: LatentCache) -> dict[str, bytes]:
    found = {}
    for name in cache.names():
        tensors = store.read(name)
        assert tensors is not None
        found[name] = b"".join(tensors[part].numpy().tobytes() for part in sorted(tensors))
    return found


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "cache")


def test_every_cut_is_encoded_once_and_found(tmp_path: Path, store: Store) -> None:
    wants = wanted(pictures(tmp_path, 3))
    cache, encoder = LatentCache(store, "vae"), Counting()
    report = cache.fill(wants, encoder)
    assert (report.encoded, report.reused, report.failed) == (len(wants), 0, {})
    assert encoder.sizes == [1] * len(wants)
    for want in wants:
        found = cache.moments(want.item, want.cut, want.treatment)
        assert found is not None and found.mean.shape == (4, 8, 8) and found.mask is None
    again = cache.fill(wants, encoder)
    assert (again.encoded, again.reused) == (0, len(wants)) and len(encoder.sizes) == len(wants)


def test_the_entry_holds_what_the_encoder_said(tmp_path: Path, store: Store) -> None:
    item = pictures(tmp_path, 1)[0]
    want = wanted([item])[0]
    cache = LatentCache(store, "vae")
    cache.fill([want], encode)
    found = cache.moments(item, want.cut, want.treatment)
    from lib_dreambooth.data.cache.latents import to_tensor
    from lib_dreambooth.data.pictures.rendering import render

    mean, std = encode(to_tensor(render(item, [want.cut], want.treatment)[0].pixels)[None])
    assert found is not None and torch.equal(found.mean, mean[0]) and torch.equal(found.std, std[0])


@pytest.mark.parametrize("group_size", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_anywhere_the_bytes_are_the_same(tmp_path: Path, group_size: int, workers: int) -> None:
    wants = wanted(pictures(tmp_path, 4))
    straight_store = MemoryStore()
    straight = LatentCache(straight_store, "vae", group_size)
    straight.fill(wants, encode)
    for stop_after in (1, 2, 5):
        folder = tmp_path / f"cache{stop_after}"
        encoder = Counting(stop_after)
        with pytest.raises(Cancelled):
            LatentCache(DiskStore(folder), "vae", group_size).fill(
                wants[::-1], encoder, workers, check_cancelled=encoder.check
            )
        store = DiskStore(folder)
        cache = LatentCache(store, "vae", group_size)
        report = cache.fill(wants, encode)
        assert report.reused > 0
        assert contents(store, cache) == contents(straight_store, straight)


@pytest.mark.parametrize("group_size", [1, 3])
def test_what_was_there_before_does_not_change_the_bytes(tmp_path: Path, group_size: int) -> None:
    items = pictures(tmp_path, 5)
    fresh = MemoryStore()
    straight = LatentCache(fresh, "vae", group_size)
    straight.fill(wanted(items), encode)
    grown = MemoryStore()
    LatentCache(grown, "vae", group_size).fill(wanted(items[1:4]), encode)
    cache = LatentCache(grown, "vae", group_size)
    cache.fill(wanted(items), encode)
    assert contents(grown, cache) == contents(fresh, straight)


def test_everything_that_matters_is_in_the_key(tmp_path: Path) -> None:
    item = pictures(tmp_path, 1)[0]
    cuts = possible_cuts(item, (64, 64), CUTTING, 0)
    keys = {latent_key(item, cut, Treatment(), "vae") for cut in cuts}
    keys.add(latent_key(item, cuts[0], Treatment(), "other vae"))
    for treatment in (
        Treatment("drop"), Treatment(background=(0, 0, 0)),
        Treatment(scaling="area"), Treatment(upright=False),
    ):  # fmt: skip
        keys.add(latent_key(item, cuts[0], treatment, "vae"))
    for other in (
        replace(item, content="x"),
        replace(item, mask_content="x"),
        replace(item, mask_kind="alpha"),
    ):
        keys.add(latent_key(other, cuts[0], Treatment(), "vae"))
    assert len(keys) == len(cuts) + 8
    # Neither name nor place of the file, nor which concept it is in.
    moved = replace(item, path="/elsewhere/b.png", concept=3, repeats=9, is_class=True)
    assert latent_key(moved, cuts[0], Treatment(), "vae") == latent_key(item, cuts[0], Treatment(), "vae")
    assert text_key("a", "x") != text_key("a", "y") != text_key("b", "y")


@given(st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), unique=True), st.integers(1, 9))
def test_groups_hold_every_key_once_and_are_not_too_large(keys: list[str], size: int) -> None:
    groups = grouped(sorted(keys), size)
    assert [key for group in groups for key in group] == sorted(keys)
    assert all(1 <= len(group) <= size for group in groups)


def test_one_more_key_changes_few_groups() -> None:
    keys = sorted(text_key(str(k), "") for k in range(500))
    before = set(map(tuple, grouped(keys, 8)))
    changed = [len(before - set(map(tuple, grouped(sorted([*keys, key + "x"]), 8)))) for key in keys[::25]]
    assert sum(changed) / len(changed) < 3 and max(changed) < 10


@pytest.mark.parametrize("damage", ["flip", "zero", "cut", "header", "empty"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, damage: str) -> None:
    wants = wanted(pictures(tmp_path, 3))
    folder = tmp_path / "cache"
    first = LatentCache(DiskStore(folder), "vae")
    first.fill(wants, encode)
    good = contents(first.store, first)
    path = next(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-5] ^= 4
    elif damage == "zero":
        data[-700:-300] = bytes(400)
    elif damage == "cut":
        del data[-100:]
    elif damage == "header":
        data[20] ^= 0xFF
    else:
        data.clear()
    path.write_bytes(bytes(data))
    store = DiskStore(folder)
    cache = LatentCache(store, "vae")
    report = cache.fill(wants, encode)
    assert 1 <= report.encoded <= len(wants)
    assert contents(store, cache) == good
    healed = LatentCache(DiskStore(folder), "vae")
    assert healed.fill(wants, encode).encoded == 0


def test_damage_while_training_is_noticed_at_the_read(tmp_path: Path) -> None:
    wants = wanted(pictures(tmp_path, 1))
    cache = LatentCache(DiskStore(tmp_path / "cache"), "vae")
    cache.fill(wants, encode)
    path = next((tmp_path / "cache").glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    found = [cache.moments(w.item, w.cut, w.treatment) for w in wants]
    assert found.count(None) == 1
    trusting = LatentCache(DiskStore(tmp_path / "cache", checks=False), "vae")
    trusting.groups(wants)
    assert None not in [trusting.moments(w.item, w.cut, w.treatment) for w in wants]


def test_two_runs_share_a_folder(tmp_path: Path) -> None:
    items = pictures(tmp_path, 4)
    folder = tmp_path / "cache"
    one, two = LatentCache(DiskStore(folder), "vae"), LatentCache(DiskStore(folder), "vae")
    one.fill(wanted(items[:3]), encode)
    two.fill(wanted(items[1:]), encode)
    assert contents(one.store, one).items() <= (contents(one.store, one) | contents(two.store, two)).items()
    third = LatentCache(DiskStore(folder), "vae")
    assert third.fill(wanted(items), encode).encoded == 0


def test_an_edited_picture_is_encoded_anew_and_a_replaced_one_left_out(tmp_path: Path) -> None:
    items = pictures(tmp_path, 2)
    cache = LatentCache(MemoryStore(), "vae")
    cache.fill(wanted(items), encode)
    save_plain(Path(items[0].path), (1, 2, 3), (80, 64))
    edited = replace(items[0], content=hash_path(items[0].path))
    assert cache.fill(wanted([edited]), encode).encoded == len(wanted([edited]))
    stale = replace(items[0], content="0" * 32)
    report = cache.fill(wanted([stale, items[1]]), encode)
    assert {finding.code for finding in report.failed.values()} == {"picture-changed"}
    assert report.reused == len(wanted([items[1]]))


def test_a_replaced_mask_and_copies_of_a_lost_picture_are_left_out(tmp_path: Path) -> None:
    item, other = pictures(tmp_path, 2)
    mask = save_plain(tmp_path / "mask.png", (128, 128, 128), (80, 64))
    masked = replace(item, mask_kind="file", mask_path=str(mask), mask_content="0" * 32)
    report = LatentCache(MemoryStore(), "vae").fill(wanted([masked]), encode)
    assert {finding.code for finding in report.failed.values()} == {"picture-changed"}
    Path(other.path).unlink()
    # A copy has the same crops only where none is drawn; the keys are what counts.
    copy = replace(other, id=f"{other.id}-2")
    centre = [
        Wanted(one, possible_cuts(one, (64, 64), CutSettings(), 0)[0], Treatment()) for one in (other, copy)
    ]
    report = LatentCache(MemoryStore(), "vae").fill(centre, encode)
    assert set(report.failed) == {other.id, copy.id} and report.encoded == 0


def test_a_picture_that_is_gone_is_left_out(tmp_path: Path) -> None:
    items = pictures(tmp_path, 3)
    Path(items[1].path).unlink()
    report = LatentCache(MemoryStore(), "vae").fill(wanted(items), encode)
    assert {name: finding.code for name, finding in report.failed.items()} == {items[1].id: "picture-gone"}
    assert report.encoded == len(wanted([items[0], items[2]]))


def test_masks_are_kept_with_their_latents(tmp_path: Path) -> None:
    item = pictures(tmp_path, 1)[0]
    mask = save_plain(tmp_path / "mask.png", (128, 128, 128), (80, 64))
    masked = replace(item, mask_kind="file", mask_path=str(mask), mask_content=hash_path(mask))
    cache = LatentCache(DiskStore(tmp_path / "cache"), "vae")
    want = wanted([masked])[0]
    cache.fill([want], encode)
    found = cache.moments(masked, want.cut, want.treatment)
    assert found is not None and found.mask is not None
    assert found.mask.tolist() == [[128] * 8] * 8


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    def broken(pixels: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = encode(pixels)
        return mean * float("nan"), std

    with pytest.raises(UserError, match="VAE gives no usable numbers"):
        LatentCache(MemoryStore(), "vae").fill(wanted(pictures(tmp_path, 1)), broken)


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    wants = wanted(pictures(tmp_path, 2))
    LatentCache(MemoryStore(), "vae").fill(
        wants, encode, progress=lambda done, total: told.append((done, total))
    )
    assert told[0] == (0, len(wants)) and told[-1] == (len(wants), len(wants))


def test_the_bytes_needed_are_known_before(tmp_path: Path) -> None:
    items = pictures(tmp_path, 2)
    items[1] = replace(items[1], mask_kind="alpha")
    store = MemoryStore()
    LatentCache(store, "vae").fill(wanted(items[:1]), encode)
    assert num_bytes_of(wanted(items[:1])) == store.num_bytes
    cuts = len(wanted(items[1:]))
    assert num_bytes_of(wanted(items[1:])) == cuts * (2 * 4 * 64 * 4 + 64)


@pytest.mark.parametrize(
    ("mode", "needed", "place"),
    [("auto", 250, "memory"), ("auto", 251, "disk"), ("memory", 9999, "memory"), ("disk", 1, "disk"),
     ("off", 1, "off")],
)  # fmt: skip
def test_auto_keeps_small_caches_in_memory(mode: CacheMode, needed: int, place: str) -> None:
    assert where_to_keep(mode, needed, 1000) == place


def test_a_store_is_opened_where_it_was_chosen(tmp_path: Path) -> None:
    assert isinstance(open_store("memory", tmp_path), MemoryStore)
    assert isinstance(open_store("disk", tmp_path), DiskStore)


def named(**tensors: Tensor) -> Tensors:
    return dict(tensors)


def test_the_size_is_shown_and_bounded_by_throwing_the_oldest_out(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    store = DiskStore(folder)
    for k in range(5):
        store.write({f"{k:032x}": named(a=torch.full((1000,), float(k)))})
        path = sorted(folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime)[-1]
        os.utime(path, (1000 + k, 1000 + k))
    one = store.num_bytes / 5
    assert store.num_bytes == sum(path.stat().st_size for path in folder.iterdir())
    freed = store.bound(3 * one, keep=[f"{0:032x}"])
    assert freed == 2 * one and store.num_bytes == 3 * one
    assert [f"{k:032x}" in store for k in range(5)] == [True, False, False, True, True]
    assert [f"{k:032x}" in DiskStore(folder) for k in range(5)] == [True, False, False, True, True]
    # What the run needs stays even where that is more than the bound.
    assert store.bound(0, keep=[f"{k:032x}" for k in (0, 3, 4)]) == 0


def test_remains_of_a_killed_run_are_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / ".aaaa.tmp").write_bytes(b"x")
    (folder / ".bbbb.tmp").write_bytes(b"x")
    os.utime(folder / ".aaaa.tmp", (time.time() - 90_000,) * 2)
    DiskStore(folder)
    assert [path.name for path in folder.iterdir()] == [".bbbb.tmp"]


def test_a_store_gives_back_every_type_and_shape(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache")
    tensors = named(
        half=torch.randn(3, 5).half(), brain=torch.randn(7).bfloat16(), scalar=torch.tensor(2.5),
        bytes=torch.arange(9, dtype=torch.uint8), empty=torch.zeros(0, 4), strided=torch.randn(4, 6).t(),
    )  # fmt: skip
    store.write({"k" * 32: tensors})
    for again in (store, DiskStore(tmp_path / "cache")):
        found = again.read("k" * 32)
        assert found is not None and found.keys() == tensors.keys()
        assert all(torch.equal(found[n], t) and found[n].dtype == t.dtype for n, t in tensors.items())


def test_a_checksum_sees_any_change() -> None:
    base = torch.arange(10_000, dtype=torch.float32)
    sums = {checksum(named(a=base)), checksum(named(a=base[:-1])), checksum(named(a=base, b=base))}
    for place in range(0, 10_000, 99):
        other = base.clone()
        other[place] += 1
        sums.add(checksum(named(a=other)))
    swapped = base.clone()
    swapped[:1000], swapped[5000:6000] = base[5000:6000], base[:1000]
    sums |= {checksum(named(a=torch.zeros(10_000))), checksum(named(a=swapped)), checksum(named(b=base))}
    assert len(sums) == 3 + 102 + 3
    shifted = torch.arange(-1, 10_000, dtype=torch.float32)[1:]
    assert checksum(named(a=shifted)) == checksum(named(a=base))


def test_a_checksum_sees_swapped_sectors_of_a_disk() -> None:
    base = torch.randn(64, 1024)  # rows of 4096 bytes
    sums = {checksum(named(a=base))}
    for other in range(1, 64):
        order = list(range(64))
        order[0], order[other] = other, 0
        sums.add(checksum(named(a=base[order])))
    assert len(sums) == 64


def test_a_checksum_is_the_same_for_bytes_in_one_piece() -> None:
    data = torch.randn(5, 1001)
    tensors = named(mean=data[:2], spread=data[2:])
    assert checksum(tensors, data.view(-1).view(torch.uint8)) == checksum(tensors)


def encode_texts(captions: Sequence[str]) -> list[Tensors]:
    return [named(hidden=torch.full((77, 4), float(len(text))), pooled=torch.ones(4)) for text in captions]


@pytest.mark.parametrize("group_size", [1, 4])
def test_captions_are_encoded_ahead_and_forgotten_after(group_size: int) -> None:
    store = MemoryStore()
    cache = TextCache(store, "clip", group_size)
    asked: list[str] = []

    def counting(captions: Sequence[str]) -> list[Tensors]:
        asked.extend(captions)
        return encode_texts(captions)

    assert cache.prepare(["a", "bb", "a", ""], counting) == 3
    assert sorted(asked) == ["", "a", "bb"]
    assert cache.states("bb")["hidden"][0, 0] == 2
    assert cache.prepare(["bb", "ccc"], counting) <= 2
    assert set(cache.names()) == set(store._entries)
    with pytest.raises(UserError, match="state of a caption is gone"):
        cache.states("a")


def test_text_states_on_disk_are_found_by_the_next_run(tmp_path: Path) -> None:
    captions = [f"caption {k}" for k in range(20)]
    assert TextCache(DiskStore(tmp_path), "clip").prepare(captions, encode_texts) == 20
    assert TextCache(DiskStore(tmp_path), "clip").prepare(captions[5:], encode_texts) == 0
    assert TextCache(DiskStore(tmp_path), "clip skip 2").prepare(captions, encode_texts) == 20
    edited = TextCache(DiskStore(tmp_path), "clip")
    assert edited.prepare(["caption 0, edited", *captions[1:]], encode_texts) == 1


def test_stopping_keeps_what_was_encoded(tmp_path: Path) -> None:
    calls = iter(range(100))

    def stop() -> None:
        if next(calls) == 7:
            raise Cancelled

    captions = [f"caption {k}" for k in range(20)]
    with pytest.raises(Cancelled):
        TextCache(DiskStore(tmp_path), "clip").prepare(captions, encode_texts, check_cancelled=stop)
    assert TextCache(DiskStore(tmp_path), "clip").prepare(captions, encode_texts) == 13


def test_what_waits_is_counted_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(MemoryStore):
        def write(self, entries: Mapping[str, Tensors]) -> None:
            sizes.append(len(entries))
            super().write(entries)

    sizes: list[int] = []
    counted: list[int] = []
    size_of = stores.size_of
    monkeypatch.setattr(stores, "size_of", lambda tensors: counted.append(1) or size_of(tensors))
    monkeypatch.setattr(stores, "FILE_BYTES", 3 * 400)
    store = Noting()
    waiting = stores.Waiting(store)
    for number in range(10):
        waiting.add({f"{number}": {"x": torch.full((100,), float(number))}})
    assert "9" in waiting and "8" not in waiting and sizes == [3, 3, 3]
    waiting.flush()
    assert sizes == [3, 3, 3, 1] and all(store.read(f"{n}")["x"][0] == n for n in range(10))
    # Once by what waits, twice by the store, however many were there before.
    assert len(counted) == 30
