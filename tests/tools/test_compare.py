"""Sheets of strengths: each picture is the one that is drawn alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.formats.embedding import Embedding, write_embedding
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.drawing import DrawJob, draw_to_folder
from lib_dreambooth.sampling.infotext import text_in
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.tools.compare import compare
from lib_dreambooth.tools.compared_rows import NETWORK, Row, row_names, weighed
from tests.tools.conftest import Making

SIDE = 64


def job_of(base: Path, **values: object) -> DrawJob:
    return DrawJob(
        base=base, prompts=("a cat",), steps=2, size_wh=(SIDE, SIDE), device="cpu", sampler="euler", **values
    )  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_sheet_holds_the_pictures_that_are_drawn_alone(base: Path, made: Making, tmp_path: Path) -> None:
    files = [made("one", include=["unet.mid*"]), made("other", kind="loha", include=["unet.mid*"])]
    said: list[tuple[int, int]] = []
    done = compare(job_of(base), files, (0.0, 1.0), tmp_path / "out", tell=lambda a, b: said.append((a, b)))
    assert said[-1] == (4, 4)
    sheet = np.asarray(Image.open(done.path))
    for row, path in enumerate(files):
        for column, strength in enumerate((0.0, 1.0)):
            loras = (LoraUse(path, strength),) if strength else ()
            [alone] = draw_to_folder(job_of(base, loras=loras), tmp_path / "alone")
            picture = np.asarray(Image.open(alone))
            # From the right and from below: the names stand on the other sides.
            right, bottom = (1 - column) * (SIDE + 1), (1 - row) * (SIDE + 1)
            height, width = sheet.shape[:2]
            found = sheet[height - bottom - SIDE : height - bottom, width - right - SIDE : width - right]
            assert np.array_equal(found, picture), (row, column)
    text = text_in(done.path)
    assert text.startswith("a cat\n") and "Compared: one / other" in text and "Strengths: 0 1" in text


def test_a_stop_writes_nothing(base: Path, made: Making, tmp_path: Path) -> None:
    path = made(include=["unet.mid*"])
    with pytest.raises(Cancelled):
        compare(job_of(base), [path], (1.0,), tmp_path / "out", should_stop=lambda: True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strengths", [(), (11.0,), (float("nan"),), (1.0,) * 201])
def test_sheets_that_cannot_be(strengths: tuple[float, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        compare(job_of(tmp_path / "none"), [tmp_path / "lora.safetensors"], strengths, tmp_path / "out")
    assert caught.value.todo
    assert not (tmp_path / "out").exists()


def test_names_of_rows() -> None:
    job = DrawJob(base=Path("x"), prompts=("a",))
    both = DrawJob(base=Path("x"), prompts=("a", "b"))
    one, two = (Row(Path(f"{name}.safetensors"), NETWORK) for name in ("one", "two"))
    assert row_names(job, [one]) == []
    assert row_names(job, [one, two]) == ["one", "two"]
    assert row_names(both, [one]) == ["a", "b"]
    assert row_names(both, [one, two]) == ["one a", "one b", "two a", "two b"]


@pytest.mark.parametrize(
    ("prompt", "strength", "expected"),
    [
        ("a photo of riho, red", 0.5, "a photo of (riho:0.5), red"),
        ("a photo of riho, red", 0, "a photo of, red"),
        ("riho, red", 0, "red"),
        ("(Riho:1.2) in a wood", 1, "(riho:1) in a wood"),
        ("a wood", 0.75, "a wood, (riho:0.75)"),
        ("a wood", 0, "a wood"),
        ("riho-style, rihos", 1, "riho-style, rihos, (riho:1)"),
        ("", 1, "(riho:1)"),
    ],
)
def test_a_word_stands_in_the_prompt_at_its_weight(prompt: str, strength: float, expected: str) -> None:
    assert weighed(prompt, "riho", strength) == expected


@pytest.mark.slow
def test_words_and_checkpoints_stand_beside_networks(base: Path, made: Making, tmp_path: Path) -> None:
    network, word, other = (
        made("one", include=["unet.mid*"]),
        tmp_path / "riho.pt",
        tmp_path / "other.safetensors",
    )
    shutil.copy(base, other)
    [width] = {encoder.width for encoder in read_model(base).encoders}
    write_embedding(word, Embedding("riho", {"text_encoder": torch.ones(1, width)}))
    done = compare(job_of(base), [network, other, word], (0.0, 1.0), tmp_path / "out")
    sheet = np.asarray(Image.open(done.path))

    def at(row: int, column: int) -> np.ndarray:
        right, bottom = (1 - column) * (SIDE + 1), (2 - row) * (SIDE + 1)
        height, width = sheet.shape[:2]
        return sheet[height - bottom - SIDE : height - bottom, width - right - SIDE : width - right]

    # Nothing of the network, the same base under another name, and the prompt without the word.
    assert np.array_equal(at(0, 0), at(1, 0)) and np.array_equal(at(0, 0), at(2, 0))
    assert not np.array_equal(at(0, 0), at(0, 1)) and not np.array_equal(at(0, 0), at(2, 1))
    # A checkpoint has no strengths.
    assert (at(1, 1) == 255).all()
    [alone] = draw_to_folder(
        dataclasses.replace(job_of(base, embeddings=(word,)), prompts=("a cat, (riho:1)",)),
        tmp_path / "alone",
    )
    assert np.array_equal(at(2, 1), np.asarray(Image.open(alone)))
    assert "Compared: one / other / riho, Strengths: 0 1" in text_in(done.path)
    only = compare(job_of(base), [other, base], (0.0, 1.0), tmp_path / "out")
    assert "Strengths" not in text_in(only.path)
    assert Image.open(only.path).height == 2 * SIDE + 1
