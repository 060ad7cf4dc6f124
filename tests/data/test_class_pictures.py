"""Class pictures that are wanted, at hand and missing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from lib_dreambooth.data.captions.choices import AsWritten
from lib_dreambooth.data.captions.compose import compose, lines_of
from lib_dreambooth.data.class_pictures import (
    ClassRequest,
    lacking_by_bucket,
    missing,
    picture_path,
    requests,
    with_drawn,
)
from lib_dreambooth.data.scanning.scan import Scan, scan
from lib_dreambooth.settings.schema import (
    Captions,
    ClassPictures,
    Concept,
    Draws,
    Model,
    Pictures,
    Run,
)
from lib_dreambooth.settings.values import Size
from tests.data.drawn_files import save_gradient, save_plain
from tests.data.made_items import made_item

DRAWING = {"relation": "beside", "draw": True}


def made_run(
    tmp_path: Path,
    concept: dict[str, Any] | None = None,
    captions: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    **classes: Any,
) -> Run:
    for k in range(3):
        save_gradient(tmp_path / "p" / f"{k}.png", 64, 64 + k)
        (tmp_path / "p" / f"{k}.txt").write_text(f"photo of sks on grass {k}", encoding="utf-8")
    save_gradient(tmp_path / "p" / "tall.png", 64, 128)
    settings = {"folder": str(tmp_path / "p"), "token": "sks", "class_token": "dog"} | (concept or {})
    return Run(
        concepts=(Concept(**settings),),
        pictures=Pictures(resolution=Size(64, 64), bucket_step=16),
        draws=Draws(seed=1),
        class_pictures=ClassPictures(**(DRAWING | classes)),
        captions=Captions(**(captions or {})),
        model=Model(**(model or {})),
    )


def wanted(run: Run, scanned: Scan | None = None, base: str = "base") -> list[Any]:
    return requests(run, (scanned or scan(run)).items, base)


def test_nothing_is_drawn_unless_it_is_ticked(tmp_path: Path) -> None:
    assert wanted(made_run(tmp_path, draw=False)) == []
    assert wanted(made_run(tmp_path, relation="off")) == []


def test_a_count_per_picture_or_in_total_shared_out_like_the_pictures(tmp_path: Path) -> None:
    per_picture = wanted(made_run(tmp_path, per_picture=5))
    assert len(per_picture) == 20
    counts = Counter(request.size for request in per_picture)
    assert sorted(counts.values()) == [5, 15]
    assert len(wanted(made_run(tmp_path, total=7))) == 7


def test_prompts_take_the_words_of_the_training_pictures_without_their_token(tmp_path: Path) -> None:
    prompts = {request.prompt for request in wanted(made_run(tmp_path, per_picture=1))}
    assert "photo of dog on grass 0" in prompts and not any("sks" in prompt for prompt in prompts)


def test_pictures_at_hand_count_whatever_their_shape_or_caption(tmp_path: Path) -> None:
    for k in range(6):
        save_plain(tmp_path / "c" / f"{k}.png", (k, 0, 0), (200, 50))
    run = made_run(tmp_path, {"class_folder": str(tmp_path / "c")}, per_picture=2)
    assert len(wanted(run)) == 8 - 6
    assert wanted(made_run(tmp_path, {"class_folder": str(tmp_path / "c")}, per_picture=1)) == []


def test_what_was_drawn_is_never_drawn_again(tmp_path: Path) -> None:
    run = made_run(tmp_path, per_picture=2)
    folder = tmp_path / "model" / "class_images"
    first = wanted(run)
    assert missing(first, folder) == first and len({r.name for r in first}) == len(first)
    for request in first[:3]:
        save_gradient(picture_path(request, folder), *request.size)
    left = missing(wanted(run), folder)
    assert left == first[3:]
    more = wanted(made_run(tmp_path, per_picture=3))
    assert {r.name for r in first} <= {r.name for r in more}


def test_what_decides_a_picture_decides_its_name(tmp_path: Path) -> None:
    names = [
        {r.name for r in wanted(made_run(tmp_path, per_picture=1, **more))}
        for more in ({}, {"guidance": 5.0}, {"steps": 9}, {"sampler": "ddim"}, {"batch_size": 9})
    ]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[0] & names[3]
    assert names[0] == names[4], "how many are drawn at once decides nothing"
    other_base = {r.name for r in wanted(made_run(tmp_path, per_picture=1), base="other")}
    negative = {r.name for r in wanted(made_run(tmp_path, {"class_negative": "ugly"}, per_picture=1))}
    assert not names[0] & other_base and not names[0] & negative
    for model in ({"clip_skip": 2}, {"vae": "x.safetensors"}, {"ema_weights": True}, {"merge": ("a:0.5",)}):
        assert not names[0] & {r.name for r in wanted(made_run(tmp_path, model=model, per_picture=1))}, model


def test_drawn_pictures_join_the_scan_with_the_words_they_were_drawn_from(tmp_path: Path) -> None:
    run = made_run(tmp_path, per_picture=1)
    folder = tmp_path / "model" / "class_images"
    plan = wanted(run)
    for number, request in enumerate(plan[:2]):
        save_plain(picture_path(request, folder), (number, 9, 9), request.size)
    picture_path(plan[2], folder).write_bytes(b"broken")
    joined = with_drawn(scan(run), plan, folder)
    drawn = [item for item in joined.items if item.is_class]
    assert [item.caption for item in drawn] == [request.caption for request in plan[:2]]
    assert all(item.concept == 0 and item.repeats == 1 for item in drawn)
    # Drawn pictures do not count as the user's own: the requests stay the same.
    assert wanted(run, scan(run)) == plan


def test_class_pictures_of_their_own_concept_count_for_those_that_they_serve(tmp_path: Path) -> None:
    for k in range(5):
        save_plain(tmp_path / "shared" / f"{k}.png", (k, 0, 0), (64, 64))
    run = made_run(tmp_path, total=7)
    shared = Concept(folder=str(tmp_path / "shared"), role="class")
    assert len(wanted(replace(run, concepts=(*run.concepts, shared)))) == 2


def test_what_a_caption_leaves_open_is_settled_before_drawing(tmp_path: Path) -> None:
    settings = {"wildcards": True, "lines": "draw", "shuffle": True, "tag_dropout": 0.9, "dropout": 1.0}
    settings |= {"keep_separator": "|||", "secondary_separator": ";;;", "prefix": "photo,"}
    run = made_run(tmp_path, captions=settings, per_picture=8)
    for path in (tmp_path / "p").glob("*.txt"):
        path.write_text("sks ||| {red|blue} hat;;;{{x}}, tree\nsks at night", encoding="utf-8")
    plan = [request for request in wanted(run) if request.size == (64, 64)]
    prompts = Counter(request.prompt for request in plan)
    assert prompts.keys() == {"photo, dog, red hat, {x}, tree", "photo, dog, blue hat, {x}, tree"} | {
        "photo, dog at night"
    }
    for request in plan:
        # Trained with what it was drawn with.
        said = caption_of(request, run)
        assert said == request.prompt
    other_seed = replace(run, draws=Draws(seed=2))
    assert [r.name for r in wanted(other_seed)] == [r.name for r in wanted(run)]


def caption_of(request: ClassRequest, run: Run) -> str:
    """What a class picture is trained with, dropping and shuffling left out."""
    picture = dataclasses.replace(made_item(0, is_class=True), caption=request.caption)
    return compose(lines_of(picture, run.captions, run.concepts[0]), run.captions, AsWritten())


def test_choices_of_the_class_prompt_stay_with_the_picture(tmp_path: Path) -> None:
    run = made_run(
        tmp_path,
        per_picture=3,
        concept={"class_prompt": "a {red|green|blue} ring"},
        captions={"wildcards": True},
    )
    plan = wanted(run)
    assert {request.prompt for request in plan} == {"a red ring", "a green ring", "a blue ring"}
    assert all(caption_of(request, run) == request.prompt for request in plan)


@pytest.mark.parametrize("damage", [b"", b"broken"])
def test_a_drawn_picture_that_is_not_whole_is_drawn_again(tmp_path: Path, damage: bytes) -> None:
    run = made_run(tmp_path, per_picture=1)
    plan = wanted(run)
    for request in plan:
        save_gradient(picture_path(request, tmp_path / "c"), *request.size)
    assert missing(plan, tmp_path / "c") == []
    path = picture_path(plan[1], tmp_path / "c")
    path.write_bytes(damage or path.read_bytes()[:-5])
    assert missing(plan, tmp_path / "c") == [plan[1]]


@pytest.mark.parametrize(
    ("pictures", "have", "total", "lacking"),
    [
        ({(1, 1): 3, (1, 2): 1}, {}, 8, {(1, 1): 6, (1, 2): 2}),
        ({(1, 1): 3, (1, 2): 1}, {(1, 1): 8}, 8, {}),
        ({(1, 1): 3, (1, 2): 1}, {(1, 1): 7}, 8, {(1, 2): 1}),
        ({(1, 1): 1}, {}, 0, {}),
    ],
)
def test_how_many_each_bucket_is_short_of(pictures: Any, have: Any, total: int, lacking: Any) -> None:
    assert lacking_by_bucket(pictures, have, total) == lacking
