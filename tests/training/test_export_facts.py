"""What files say of the pictures, from a scanned folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_dreambooth import settings
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.training.export.facts import Directory, data_facts, legacy_hash, numbered


def picture(path: Path, size: tuple[int, int], caption: str = "", shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 10, 20)).save(path)
    if caption:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    root = tmp_path / "secretperson"
    picture(root / "sets" / "3_mika" / "a.png", (64, 64), "Mika, Smile, red hat", 1)
    picture(root / "sets" / "3_mika" / "b.png", (40, 128), r"mika, saber \(fate\), from C:\Users\secret\x", 2)
    picture(root / "more" / "3_mika" / "c.png", (64, 64), "", 3)
    picture(root / "girls" / "d.png", (64, 64), "girl", 4)
    values = {
        "concepts": [
            {"folder": str(root / "sets"), "token": "mika", "class_token": "girl"},
            {"folder": str(root / "more"), "token": "mika", "class_token": "girl"},
            {"folder": str(root / "girls"), "role": "class", "class_token": "girl"},
        ],
        "pictures": {"resolution": "64", "bucket_step": 32},
        "class_pictures": {"relation": "mixed"},
        "length": {"batch_size": 2},
        "draws": {"seed": 1},
    }
    run = settings.read(values).run
    return Dataset(run, scan(run))


def test_folders_tags_and_buckets(dataset: Dataset) -> None:
    facts = data_facts(dataset)
    assert dict(facts.directories) == {
        "3_mika": Directory(
            3, 2, False, {"mika": 2, "smile": 1, "red hat": 1, r"saber \(fate\)": 1, "from x": 1}
        ),
        "3_mika (2)": Directory(3, 1, False, {"mika": 1}),
        "girls": Directory(1, 1, True, {"girl": 1}),
    }
    assert facts.num_train_images == 9 and facts.num_class_images == 1
    assert facts.batches_per_epoch == dataset.plan.epoch.num_batches
    assert sum(facts.buckets.values()) == sum(dataset.plan.visits.values())
    assert len(facts.buckets) == 2 and facts.mean_shape_error > 0
    assert "secret" not in repr(facts)


def test_names_that_are_taken_get_numbers() -> None:
    assert numbered("a", {}) == "a"
    assert numbered("a", {"a": 1, "a (2)": 1}) == "a (3)"


def test_short_files_and_folders_have_a_short_hash_or_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"short")
    assert legacy_hash(tmp_path / "x") == "e3b0c442" and legacy_hash(tmp_path) == ""
