"""Every setting about pictures changes what is fed to training: batches, their captions or their order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth import settings
from lib_dreambooth.data.class_pictures import requests
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.feeding.batch import Assembler
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.settings.schema import Run
from tests.data.drawn_files import gradient, save, save_gradient, save_plain

EPOCHS = 3


def made_folders(root: Path) -> None:
    """Pictures that have something of everything: sizes, alpha, EXIF, masks, captions, a face, folders."""
    pictures = root / "p"
    for name, size in (
        ("a", (96, 96)),
        ("tall", (70, 130)),
        ("face_80_35_10_10", (150, 70)),
        ("tiny", (40, 60)),
    ):
        save_gradient(pictures / f"{name}.png", *size)
        (pictures / f"{name}.txt").write_text(f"riho, {name}, smile", encoding="utf-8")
        (pictures / f"{name}.caption").write_text(f"another {name}", encoding="utf-8")
    alpha = gradient(90, 90, 4)
    alpha[:, :45, 3] = 0
    save(pictures / "alpha.png", Image.fromarray(alpha))
    exif = Image.Exif()
    exif[0x0112] = 6
    save_gradient(pictures / "turned.jpg", 80, 120, exif=exif)
    save_gradient(pictures / "masked.png", 100, 90)
    save_plain(pictures / "masked-mask.png", (90, 90, 90), (100, 90))
    save_gradient(pictures / "3_more" / "inner.png", 64, 99)
    save_plain(root / "masks" / "a.png", (40, 40, 40), (96, 96))
    save_plain(root / "other" / "x.png", (1, 2, 3), (77, 66))
    for number in range(20):
        save_plain(root / "classes" / f"{number:02}.png", (number, 0, 9), (64 + number, 64))
    meta = {"a": {"caption": "told", "tags": "by the file"}}
    (root / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def made_run(root: Path, changes: dict[str, Any]) -> Run:
    start = {
        "concepts.0.folder": str(root / "p"),
        "pictures.resolution": "64x64",
        "pictures.bucket_step": 8,
        "draws.seed": 5,
        "length.batch_size": 2,
    }
    found = settings.review_changes({**start, **changes})
    assert not [problem.sentence() for problem in found.problems if problem.code != "contradiction"]
    return found.sourced.run


def fed(run: Run) -> list[Any]:
    """Everything that some epochs feed to training, and what is measured or drawn beside them."""
    dataset = Dataset(run, scan(run))
    make = Assembler(dataset).make
    seen: list[Any] = [[Path(item.path).name for item in dataset.validation]]
    for batch in (
        batch for step in dataset.plan.steps(0, EPOCHS * dataset.plan.steps_per_epoch) for batch in step
    ):
        made = make(batch)
        assert made.pixels is not None
        masks = None if made.masks is None else made.masks.numpy().round(3).tolist()
        pixels = (made.pixels.numpy() * 1000).round().astype(np.int32)
        visits = [(Path(visit.item.path).name, visit.number, visit.item.is_class) for visit in batch.visits]
        sizes = made.size_ids.tolist()
        seen.append(
            (
                batch.step,
                batch.size,
                visits,
                made.captions,
                made.shares.tolist(),
                sizes,
                masks,
                pixels.tobytes(),
            )
        )
    return [*seen, [(one.name, one.negative, one.size) for one in requests(run, dataset.items, "base")]]


MIXED = {"class_pictures.relation": "mixed"}
DRAWN = {"class_pictures.relation": "beside", "class_pictures.draw": True, "class_pictures.per_picture": 1}
FACES = {"pictures.crop": "face"}
# What has to be set beside it, and its own value; DIR is the folder of the test.
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "concepts.0.role": ({"concepts.1.folder": "DIR/other"}, "validation"),
    "concepts.0.folder": ({}, "DIR/other"),
    "concepts.0.subfolders": ({}, "ignore"),
    "concepts.0.metadata_file": ({}, "DIR/meta.json"),
    "concepts.0.mask_folder": ({}, "DIR/masks"),
    "concepts.0.repeats": ({}, 2),
    "concepts.0.weight": ({"concepts.1.folder": "DIR/other"}, 0.5),
    "concepts.0.token": ({}, "zwx"),
    "concepts.0.class_token": ({"concepts.0.token": "riho"}, "girl"),
    "concepts.0.prompt": ({}, "photo of [filewords]"),
    "concepts.0.fallback": ({}, "a picture"),
    "concepts.0.class_folder": (MIXED, "DIR/classes"),
    "concepts.0.class_prompt": ({**MIXED, "concepts.0.class_folder": "DIR/classes"}, "photo of [filewords]"),
    "concepts.0.class_negative": (DRAWN, "ugly"),
    "concepts.0.override": ({}, {"captions.prefix": "photo"}),
    "pictures.resolution": ({}, "72x72"),
    "pictures.buckets": ({}, False),
    "pictures.bucket_min": ({}, 64),
    "pictures.bucket_max": ({}, 72),
    "pictures.bucket_step": ({}, 32),
    "pictures.upscale": ({}, False),
    "pictures.bucket_rule": ({"pictures.bucket_step": 32}, "kohya"),
    "pictures.crop": ({}, "upper"),
    "pictures.crops_per_picture": ({"pictures.crop": "random"}, 2),
    "pictures.face_zoom_min": ({**FACES, "pictures.face_zoom_max": 6.0}, 5.0),
    "pictures.face_zoom_max": (FACES, 2.0),
    "pictures.flip": ({}, True),
    "pictures.colour_change": ({}, "gentle"),
    "pictures.alpha": ({}, "mask"),
    "pictures.background": ({}, "#00ff00"),
    "pictures.masks": ({}, False),
    "pictures.exif_rotation": ({}, False),
    "pictures.filter": ({}, "nearest"),
    "pictures.size_ids": ({}, "kohya"),
    "captions.files": ({}, [".caption"]),
    "captions.file_name": ({}, True),
    "class_pictures.relation": (
        {"concepts.1.folder": "DIR/classes", "concepts.1.role": "class", **MIXED},
        "beside",
    ),
    "class_pictures.surplus": ({**MIXED, "concepts.0.class_folder": "DIR/classes"}, "leave out"),
    "class_pictures.draw": ({"class_pictures.relation": "mixed"}, True),
    "class_pictures.per_picture": (DRAWN, 2),
    "class_pictures.total": (DRAWN, 30),
    "class_pictures.guidance": (DRAWN, 3.0),
    "class_pictures.steps": (DRAWN, 9),
    "class_pictures.sampler": (DRAWN, "ddim"),
    "length.batch_size": ({}, 3),
    "length.accumulation": ({}, 2),
    "validation.share": ({}, 0.4),
    "validation.seed": ({"validation.share": 0.4}, 77),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("effects")
    made_folders(folder)
    return folder


def placed(value: Any, root: Path) -> Any:
    return value.replace("DIR", str(root)) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def fed_with(root: Path) -> Callable[..., list[Any]]:
    """What some settings feed; asked again, it is not made again."""
    known: dict[str, list[Any]] = {}

    def look(changes: dict[str, Any]) -> list[Any]:
        name = json.dumps(changes, sort_keys=True)
        if name not in known:
            known[name] = fed(made_run(root, {path: placed(value, root) for path, value in changes.items()}))
        return known[name]

    return look


@pytest.mark.parametrize("path", EFFECTS)
def test_a_setting_changes_what_is_fed(path: str, fed_with: Callable[..., list[Any]]) -> None:
    beside, value = EFFECTS[path]
    assert fed_with({**beside, path: value}) != fed_with(beside)


def test_the_same_settings_feed_the_same(root: Path, fed_with: Callable[..., list[Any]]) -> None:
    assert fed(made_run(root, {})) == fed_with({})
