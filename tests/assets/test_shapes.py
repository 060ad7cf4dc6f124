"""The drawn world and its judge."""

from __future__ import annotations

import numpy as np
import pytest

from lib_dreambooth.assets.shapes import drawing
from lib_dreambooth.assets.shapes.judge import judge


@pytest.fixture(scope="module")
def drawn() -> list[tuple[drawing.Scene, np.ndarray]]:
    random = np.random.Generator(np.random.Philox(5))
    return [(scene, np.asarray(drawing.draw_varied(scene, random))) for scene in drawing.all_scenes()]


def test_the_judge_is_right_on_clean_drawings(drawn: list[tuple[drawing.Scene, np.ndarray]]) -> None:
    verdicts = [(scene, judge(picture)) for scene, picture in drawn]
    right = [v.shows(scene.shape, scene.colour) and v.ground == scene.ground for scene, v in verdicts]
    assert np.mean(right) >= 0.99


def test_the_judge_does_not_say_yes_to_another_prompt(drawn: list[tuple[drawing.Scene, np.ndarray]]) -> None:
    order = np.random.Generator(np.random.Philox(6)).permutation(len(drawn))
    others = [drawn[index][0] for index in order]
    wrongly = [judge(picture).shows(o.shape, o.colour) for (_, picture), o in zip(drawn, others, strict=True)]
    assert np.mean(wrongly) <= 0.05


@pytest.mark.parametrize("kind", ["plain", "noise", "gradient", "two shapes"])
def test_the_judge_sees_no_shape_where_there_is_none(kind: str) -> None:
    random = np.random.Generator(np.random.Philox(7))
    ramp = np.linspace(0, 255, 128, dtype=np.uint8)
    two = np.full((128, 128, 3), 245, dtype=np.uint8)
    two[10:50, 10:50] = two[80:120, 70:120] = (214, 40, 40)
    pictures = {
        "plain": np.full((128, 128, 3), 90, dtype=np.uint8),
        "noise": random.integers(0, 256, (128, 128, 3), dtype=np.uint8),
        "gradient": np.broadcast_to(ramp[None, :, None], (128, 128, 3)),
        "two shapes": two,
    }
    assert judge(pictures[kind]).shape == ""


def test_held_out_scenes_are_balanced_and_apart() -> None:
    held_out, training = drawing.held_out_scenes(), drawing.training_scenes()
    assert len(held_out) == len(set(held_out)) == 64
    assert not set(held_out) & set(training)
    assert len(held_out) + len(training) == len(drawing.all_scenes())
    for names in (drawing.SHAPES, drawing.COLOURS, drawing.GROUNDS):
        assert len(names) >= 6
    # Every word, and every pair of shape and colour, is learned from other pictures.
    pairs = {(scene.shape, scene.colour) for scene in training}
    assert pairs >= {(scene.shape, scene.colour) for scene in held_out}


def test_prompts_name_what_is_drawn() -> None:
    random = np.random.Generator(np.random.Philox(8))
    scene = drawing.Scene("star", "red", "pink")
    prompts = [drawing.prompt_for(scene, random) for _ in range(200)]
    assert prompts.count(scene.prompt) > 90
    assert 5 <= prompts.count("") <= 40
    assert all(prompt == "" or "star" in prompt for prompt in prompts)
