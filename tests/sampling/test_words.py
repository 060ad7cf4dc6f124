"""Embedding files as words of prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.embedding import Embedding, write_embedding
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.drawing import DrawJob, draw_to_folder
from lib_dreambooth.sampling.words import words_from


def write(folder: Path, name: str, widths: dict[str, int]) -> Path:
    write_embedding(
        folder / name, Embedding("x", {part: torch.ones(2, width) for part, width in widths.items()})
    )
    return folder / name


@pytest.mark.parametrize("name", ["my cat.safetensors", "my cat.pt"])
def test_a_file_is_a_word_of_its_name(sd1: LoadedModel, tmp_path: Path, name: str) -> None:
    words = words_from([write(tmp_path, name, {TEXT: 64})], sd1)
    assert {word: parts[TEXT].tolist() for word, parts in words.vectors.items()} == {
        "my cat": [[1.0] * 64] * 2
    }


def test_sdxl_takes_both(sdxl: LoadedModel, tmp_path: Path) -> None:
    words = words_from([write(tmp_path, "xl.safetensors", {TEXT: 64, TEXT_2: 64})], sdxl)
    assert set(words.vectors["xl"]) == {TEXT, TEXT_2}


def test_one_for_another_family_is_refused(sd1: LoadedModel, sdxl: LoadedModel, tmp_path: Path) -> None:
    path = write(tmp_path, "other.safetensors", {TEXT: 768})
    with pytest.raises(FileError, match="its vectors have 768 numbers, the model's words 64") as caught:
        words_from([path], sd1)
    assert caught.value.where == str(path)
    with pytest.raises(FileError, match="the model's words 64 and 64"):
        words_from([path], sdxl)


def test_the_word_shows_in_the_picture(sd1: LoadedModel, tmp_path: Path) -> None:
    path = write(tmp_path, "zork.pt", {TEXT: 64})
    job = DrawJob(sd1.source.path, ("a zork",), steps=2, size_wh=(64, 64), device="cpu")
    [plain] = draw_to_folder(job, tmp_path / "plain")
    [named] = draw_to_folder(
        DrawJob(sd1.source.path, ("a zork",), embeddings=(path,), steps=2, size_wh=(64, 64), device="cpu"),
        tmp_path / "named",
    )
    with Image.open(plain) as first, Image.open(named) as second:
        assert np.abs(np.asarray(first).astype(int) - np.asarray(second)).max() > 0
