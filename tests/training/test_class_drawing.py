"""Drawing missing class pictures with the bundled miniature: once, to the end, and with their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lib_dreambooth
from lib_dreambooth.base.errors import Cancelled
from lib_dreambooth.data.class_pictures import ClassRequest, missing, picture_path, requests, with_drawn
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.prompt import parse_prompt
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.conditions import plan_of
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings import replace
from lib_dreambooth.settings.schema import (
    Captions,
    ClassPictures,
    Concept,
    Draws,
    Pictures,
    Run,
)
from lib_dreambooth.settings.values import Size
from lib_dreambooth.training.class_drawing import draw_class_pictures, drawable, plain_words
from tests.data.drawn_files import save_gradient, save_plain

MINIATURE = Path(lib_dreambooth.__file__).parent / "assets" / "mini" / "mini.safetensors"


@pytest.fixture(scope="module")
def miniature() -> Iterator[LoadedModel]:
    # Half precision takes a processor fifty times as long.
    yield read_model(MINIATURE, dtype=torch.float32)


def made_run(tmp_path: Path, **captions: object) -> Run:
    """Two square pictures and a wide one, none of the classes but what is drawn."""
    for name, size in (("a", (64, 64)), ("b", (64, 65)), ("wide", (128, 64))):
        save_gradient(tmp_path / "p" / f"{name}.png", *size)
        (tmp_path / "p" / f"{name}.txt").write_text(f"zwx (red) on {name}", encoding="utf-8")
    (tmp_path / "own").mkdir(exist_ok=True)
    return Run(
        concepts=(
            Concept(
                folder=str(tmp_path / "p"),
                token="zwx",
                class_token="circle",
                class_negative="square",
                class_folder=str(tmp_path / "own"),
            ),
        ),
        pictures=Pictures(resolution=Size(64, 64), bucket_min=32, bucket_max=128, bucket_step=32),
        captions=Captions(**captions),  # type: ignore[arg-type]
        draws=Draws(seed=1),
        class_pictures=ClassPictures(
            relation="mixed", draw=True, total=6, steps=2, sampler="euler a", guidance=3.0, batch_size=4
        ),
    )


def wanted_of(run: Run) -> list[ClassRequest]:
    return requests(run, scan(run).items, "miniature")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_what_is_missing_is_drawn_once_and_never_again(tmp_path: Path, miniature: LoadedModel) -> None:
    for number in range(2):
        save_plain(tmp_path / "own" / f"{number}.png", (number, 9, 9), (64, 64))
    before = files_in(tmp_path / "own")
    run = made_run(tmp_path)
    plan, folder, seen = wanted_of(run), tmp_path / "model" / "class_images", []
    assert len(plan) == 6 - 2, "the user's own pictures count"
    drawn = draw_class_pictures(miniature, run, plan, folder, lambda *at: seen.append(at))
    assert drawn == 4 and seen == [(k, 4) for k in range(5)]
    first = files_in(folder)
    assert first.keys() == {f"{one.name}{ending}" for one in plan for ending in (".png", ".txt")}
    assert draw_class_pictures(miniature, run, plan, folder) == 0 and files_in(folder) == first
    assert draw_class_pictures(miniature, run, wanted_of(run), folder) == 0
    assert files_in(tmp_path / "own") == before, "nothing goes into the user's folder"
    assert sum(item.is_class for item in with_drawn(scan(run), plan, folder).items) == 6


@pytest.mark.slow
def test_a_picture_is_what_its_request_and_the_settings_say(tmp_path: Path, miniature: LoadedModel) -> None:
    run = made_run(tmp_path)
    plan, folder = wanted_of(run), tmp_path / "c"
    draw_class_pictures(miniature, run, plan, folder)
    assert {one.size for one in plan} == {(64, 64), (96, 32)}
    for one in plan:
        with Image.open(picture_path(one, folder)) as picture:
            assert picture.size == drawable(one.size)
            text = picture.info["parameters"]
        assert text.startswith(rf"circle \(red\) on {one.prompt.split()[-1]}" + "\nNegative prompt: square\n")
        assert (
            f"Steps: 2, Sampler: Euler a, Schedule type: Automatic, CFG scale: 3, Seed: {one.seed}, " in text
        )
        words = picture_path(one, folder).with_suffix(".txt").read_text(encoding="utf-8")
        assert words == one.prompt and "(red)" in words and "zwx" not in words
    one = plan[-1]
    settings = PictureSettings(
        sampler="euler a", steps=2, guidance=3.0, width=192, height=64, emphasis="None"
    )
    (alone,) = Generator(miniature).draw([Request(one.prompt, one.negative, one.seed)], settings)
    with Image.open(picture_path(one, folder)) as picture:
        # Drawn in batches: a batch may change the last bit.
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(alone)).max() <= 2


SEEN = [
    ({"steps": 7}, "steps", 7),
    ({"guidance": 1.5}, "guidance", 1.5),
    ({"sampler": "ddim"}, "sampler", "ddim"),
    ({"batch_size": 3}, "batch_size", 3),
]


@pytest.mark.parametrize(("change", "name", "value"), SEEN)
def test_the_generator_is_asked_as_the_settings_say(
    change: dict[str, Any],
    name: str,
    value: object,
    tmp_path: Path,
    miniature: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[PictureSettings] = []

    def draw(
        self: Generator, some: Sequence[Request], settings: PictureSettings, **_: object
    ) -> Iterator[Image.Image]:
        asked.append(settings)
        return (Image.new("RGB", (settings.width, settings.height)) for _ in some)

    monkeypatch.setattr(Generator, "draw", draw)
    run = replace(made_run(tmp_path), {f"class_pictures.{key}": part for key, part in change.items()})
    run = replace(run, {"model.clip_skip": 2})
    draw_class_pictures(miniature, run, wanted_of(run), tmp_path / "c")
    assert {getattr(one, name) for one in asked} == {value} and {one.clip_skip for one in asked} == {2}


@pytest.mark.parametrize(
    ("bucket", "drawn"),
    [((512, 768), (512, 768)), ((96, 32), (192, 64)), ((500, 700), (496, 704)), ((8192, 1024), (4096, 512))],
)
def test_buckets_that_cannot_be_drawn_are_drawn_in_their_shape(
    bucket: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert drawable(bucket) == drawn


def test_captions_that_carry_weights_keep_them(tmp_path: Path, miniature: LoadedModel) -> None:
    run = made_run(tmp_path, weights=True)
    plan, folder = wanted_of(run)[:1], tmp_path / "c"
    draw_class_pictures(miniature, run, plan, folder)
    with Image.open(picture_path(plan[0], folder)) as picture:
        assert picture.info["parameters"].startswith("circle (red) on ")


@pytest.mark.slow
def test_a_stop_keeps_what_is_done_and_the_next_run_draws_the_rest(
    tmp_path: Path, miniature: LoadedModel
) -> None:
    run = made_run(tmp_path)
    plan, whole, parts = wanted_of(run), tmp_path / "whole", tmp_path / "parts"
    draw_class_pictures(miniature, run, plan, whole)
    done: list[int] = []
    with pytest.raises(Cancelled):
        draw_class_pictures(miniature, run, plan, parts, lambda n, _: done.append(n), lambda: done[-1] >= 4)
    kept = len(plan) - len(missing(plan, parts))
    assert kept == done[-1] == 4
    assert all(path.suffix in (".png", ".txt") for path in parts.iterdir()), "no half-written file stays"
    assert draw_class_pictures(miniature, run, plan, parts) == len(plan) - kept
    assert files_in(parts) == files_in(whole)


def test_a_stop_is_obeyed_within_a_step(tmp_path: Path, miniature: LoadedModel) -> None:
    run = made_run(tmp_path)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    with pytest.raises(Cancelled):
        draw_class_pictures(miniature, run, wanted_of(run), tmp_path / "c", should_stop=stop)
    assert asked == 2 and not list((tmp_path / "c").glob("*"))


def test_drawing_leaves_the_model_and_torchs_numbers_alone(tmp_path: Path, miniature: LoadedModel) -> None:
    run = made_run(tmp_path)
    before = {name: tensor.clone() for name, tensor in miniature.unet.state_dict().items()}
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    draw_class_pictures(miniature, run, wanted_of(run)[:1], tmp_path / "c")
    assert torch.equal(torch.rand(1), expected)
    after = miniature.unet.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("riho (kimono), [alt], a|b", "riho (kimono), [alt], a|b"),
        (r"already \(escaped\)", r"already \(escaped\)"),
        ("Romeo AND Juliet BREAK", "Romeo and Juliet break"),
        ("<lora:x:1>, #1 fan", "< lora:x:1>, 1 fan"),
        ("[cat:dog:0.5], (x:1.3)", "[cat:dog:0.5], (x:1.3)"),
        ("score: 9", "score: 9"),
        ("re:zero 2", "re:zero 2"),
        ("", ""),
    ],
)
def test_captions_are_no_grammar_for_prompts(caption: str, said: str) -> None:
    plan = plan_of(plain_words(caption), "", PictureSettings(steps=10))
    assert len(plan.positive) == 1 and plan.positive[0].weight == 1.0
    (text,) = plan.positive[0].texts
    pieces = parse_prompt(text)
    assert all(piece.weight == 1.0 for piece in pieces)
    assert "".join(piece.text for piece in pieces).strip() == said
