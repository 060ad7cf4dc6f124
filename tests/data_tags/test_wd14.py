"""The WD14-family tagger on a graph made here: it sees the picture as the family was trained to."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth.base.errors import FileError, MissingPackage
from lib_dreambooth.data.tags.tagger import TagChoice, choose_tags
from lib_dreambooth.data.tags.wd14 import (
    Layout,
    TagList,
    open_wd14,
    prepare,
    read_layout,
    read_tag_list,
    tag_output,
)
from tests.data_tags.onnx_bytes import tagger_model

TAGS = """tag_id,name,category,count
1,general,9,10
2,explicit,9,10
10,red_background,0,5
11,green_background,0,5
12,blue_background,0,5
13,^_^,0,5
20,saber_(fate),4,5
"""
# Rows are the channels as the graph gets them: blue, green, red.
WEIGHTS = np.zeros((3, 7))
WEIGHTS[0, 4] = WEIGHTS[1, 3] = WEIGHTS[2, 2] = 0.04
BIAS = np.array([1.0, -1.0, -5.0, -5.0, -5.0, 0.0, 3.0])


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tags.csv").write_text(TAGS, encoding="utf-8")
    (tmp_path / "model.onnx").write_bytes(tagger_model(WEIGHTS, BIAS))
    return tmp_path


needs_onnxruntime = pytest.mark.needs("onnxruntime")


@needs_onnxruntime
def test_colours_arrive_as_blue_green_red_from_0_to_255(folder: Path) -> None:
    tagger = open_wd14(folder / "model.onnx", folder / "tags.csv", threads=1)
    red, teal = tagger.score(
        [Image.new("RGB", (30, 30), (255, 0, 0)), Image.new("RGB", (20, 20), (0, 100, 200))]
    )
    assert red.general["red_background"] == pytest.approx(sigmoid(255 * 0.04 - 5), abs=1e-5)
    assert red.general["blue_background"] == pytest.approx(sigmoid(-5), abs=1e-5)
    assert teal.general["green_background"] == pytest.approx(sigmoid(100 * 0.04 - 5), abs=1e-5)
    assert teal.general["blue_background"] == pytest.approx(sigmoid(200 * 0.04 - 5), abs=1e-5)
    assert red.rating == pytest.approx({"general": sigmoid(1), "explicit": sigmoid(-1)})
    assert red.character == pytest.approx({"saber_(fate)": sigmoid(3)})
    assert choose_tags(red, TagChoice()) == ["red background", "^_^"]


@needs_onnxruntime
def test_a_wide_transparent_picture_is_padded_with_white(folder: Path) -> None:
    tagger = open_wd14(folder / "model.onnx", folder / "tags.csv", threads=1)
    (wide,) = tagger.score([Image.new("RGB", (40, 20), (0, 0, 0))])
    assert wide.general["red_background"] == pytest.approx(sigmoid(127.5 * 0.04 - 5), abs=3e-3)
    (clear,) = tagger.score([Image.new("RGBA", (40, 20), (0, 0, 0, 0))])
    assert clear.general["red_background"] == pytest.approx(sigmoid(255 * 0.04 - 5), abs=1e-5)


@needs_onnxruntime
def test_channels_first_fixed_batch_and_a_second_output(folder: Path) -> None:
    model = tagger_model(WEIGHTS, BIAS, (1, 3, 64, 64), with_features=True)
    (folder / "model.onnx").write_bytes(model)
    tagger = open_wd14(folder / "model.onnx", folder / "tags.csv", threads=1)
    assert (tagger.layout, tagger.batch_size) == (Layout(64, False, 1, is_fixed=True), 1)
    (blue,) = tagger.score([Image.new("RGB", (30, 30), (0, 0, 255))])
    assert blue.general["blue_background"] == pytest.approx(sigmoid(255 * 0.04 - 5), abs=1e-5)


@needs_onnxruntime
def test_a_graph_for_exactly_four_pictures_takes_fewer(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tagger_model(WEIGHTS, BIAS, (4, 32, 32, 3)))
    tagger = open_wd14(folder / "model.onnx", folder / "tags.csv", batch_size=1, threads=1)
    assert tagger.batch_size == 4
    scores = tagger.score([Image.new("RGB", (8, 8), (255, 0, 0))])
    assert [one.general["red_background"] for one in scores] == pytest.approx([sigmoid(5.2)], abs=1e-4)


@needs_onnxruntime
def test_a_broken_model_and_a_wrong_list_get_sentences(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"<html>404</html>")
    with pytest.raises(FileError, match="no ONNX model that can be run here"):
        open_wd14(folder / "model.onnx", folder / "tags.csv")
    with pytest.raises(FileError, match="no such model file"):
        open_wd14(folder / "none.onnx", folder / "tags.csv")
    (folder / "model.onnx").write_bytes(tagger_model(WEIGHTS, BIAS))
    (folder / "tags.csv").write_text(TAGS + "30,extra,0,1\n", encoding="utf-8")
    with pytest.raises(FileError, match="the tag list has 8 tags but the model gives 7 numbers"):
        open_wd14(folder / "model.onnx", folder / "tags.csv")


def test_without_onnxruntime_there_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackage, match="needs the package onnxruntime"):
        open_wd14(folder / "model.onnx", folder / "tags.csv")


def test_tag_lists(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TAGS.replace("\n", "\r\n").encode())
    tags = read_tag_list(path)
    assert tags == TagList(
        (
            "general",
            "explicit",
            "red_background",
            "green_background",
            "blue_background",
            "^_^",
            "saber_(fate)",
        ),
        ("9", "9", "0", "0", "0", "0", "4"),
    )
    for content in ("", "nonsense\n1\n", "\0\1"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(FileError, match="no tag list"):
            read_tag_list(path)
    with pytest.raises(FileError, match="cannot be read"):
        read_tag_list(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        (["N", 448, 448, 3], Layout(448, True, 8)),
        ([None, None, None, 3], Layout(448, True, 8)),
        ([4, 3, 384, 384], Layout(384, False, 4, is_fixed=True)),
        ([-1, 3, 448, 448], Layout(448, False, 8)),
    ],
)
def test_layouts(shape: list[object], layout: Layout) -> None:
    assert read_layout(shape, "m", 8) == layout


@pytest.mark.parametrize("shape", [["N", 10], [1, 448, 448, 4], []])
def test_other_inputs_are_refused(shape: list[object]) -> None:
    with pytest.raises(FileError, match="does not take pictures"):
        read_layout(shape, "m", 8)


def test_the_output_with_the_tags() -> None:
    assert tag_output([("f", [1, 1024]), ("t", [1, 7])], 7, "m") == "t"
    assert tag_output([("t", ["a", "b"])], 7, "m") == "t"
    with pytest.raises(FileError):
        tag_output([("t", [1, 8])], 7, "m")


def test_preparing_keeps_small_pictures_whole() -> None:
    picture = Image.new("RGB", (2, 4), (10, 20, 30))
    pixels = prepare(picture, Layout(4, True, 1))
    assert pixels.shape == (4, 4, 3)
    assert pixels[:, 1:3].reshape(-1, 3).tolist() == [[30, 20, 10]] * 8
    assert (pixels[:, [0, 3]] == 255).all()
    assert prepare(picture, Layout(4, False, 1)).shape == (3, 4, 4)
