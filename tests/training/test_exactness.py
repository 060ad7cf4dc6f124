"""A run that is stopped and gone on with ends in the very bytes of one that never was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.runs.commands import StopAfterStep
from lib_dreambooth.runs.events import CANCELLED, DONE, Sampled, Saved, Validated
from tests.training.made_runs import (
    BUSY,
    LORA,
    WHOLE,
    MadeRun,
    assert_same,
    at_step,
    joined,
    tensors_of,
)

pytestmark = pytest.mark.usefixtures("quick")

# Three epochs of four steps. What is not the same to the last bit is so at once.
NUM_STEPS = 12
LENGTH: dict[str, Any] = {"length": {"train_for": f"{NUM_STEPS} steps"}}
# As many class pictures as others, and two micro-batches to a step.
CLASSES: dict[str, Any] = {
    "class_pictures": {"draw": True, "total": 4, "per_picture": 1, "steps": 2, "relation": "mixed"},
    "length": {"batch_size": 1, "accumulation": 2},
}
FROZEN_TEXT: dict[str, Any] = {"parts": {"text_encoder_1": {"train": False}}}
# A quarter of the UNet and no encoder, so that states are small.
SOME_WEIGHTS: dict[str, Any] = joined(FROZEN_TEXT, {"parts": {"unet": {"blocks": ["mid"]}}})


def straight(root: Path, values: dict[str, Any]) -> MadeRun:
    run = MadeRun(root / "straight", joined(LENGTH, values))
    assert run.run().outcome == DONE
    return run


def stopped(root: Path, values: dict[str, Any], *steps: int) -> MadeRun:
    """Cancelled after each of the steps and gone on with."""
    run = MadeRun(root / "stopped", joined(LENGTH, values))
    begin = run.run
    for step in steps:
        ended = begin(at_step(step, StopAfterStep()))
        assert (ended.outcome, ended.step) == (CANCELLED, step)
        begin = run.go_on
    assert begin().step == NUM_STEPS
    return run


def assert_same_end(one: MadeRun, other: MadeRun) -> None:
    assert_same(one.state(), other.state())
    assert_same(tensors_of(one.files()[-1]), tensors_of(other.files()[-1]))
    same, numbers = one.numbers(), other.numbers()
    assert same["step"] == numbers["step"] == NUM_STEPS
    for key in same.keys() - {"settings"}:
        assert same[key] == numbers[key], key


@pytest.mark.slow
def test_a_lora_with_everything_that_is_drawn(tmp_path: Path) -> None:
    values = joined(LORA, CLASSES)
    one = straight(tmp_path, values)
    # After the first step, and inside an epoch.
    other = stopped(tmp_path, values, 1, 8)
    assert_same_end(one, other)
    assert one.phases()[:4] == [
        "looking at the pictures",
        "reading the model",
        "drawing class pictures",
        "encoding pictures",
    ]
    moved = [tensor for name, tensor in one.state().items() if name.startswith("trained/") and "up" in name]
    assert moved and all(bool(tensor.any()) for tensor in moved)


@pytest.mark.slow
def test_a_lora_with_cached_captions_saved_drawn_and_measured_on_the_way(tmp_path: Path) -> None:
    values = joined(LORA, FROZEN_TEXT)
    one = straight(tmp_path, values)
    other = stopped(tmp_path, joined(values, BUSY, {"memory": {"workers": 0}}), 5, 8)
    assert_same_end(one, other)
    assert "encoding captions" in one.phases()
    # The cancel at the fifth step came before its picture.
    assert [event.step for event in other.told(Sampled)] == [0, 10, 12]
    assert {event.step for event in other.told(Validated)} == {6, 12}
    assert not one.told(Sampled) and not one.told(Validated)
    states = [event.step for event in other.told(Saved) if event.what == "state"]
    # A cancel at the fifth step and the eighth wrote states besides the regular ones.
    assert states == [3, 5, 6, 8, 9, 12]


@pytest.mark.slow
def test_pictures_read_anew_at_every_step(tmp_path: Path) -> None:
    values = joined(LORA, FROZEN_TEXT, {"memory": {"cache_latents": "off", "cache_text": "off"}})
    assert_same_end(straight(tmp_path, values), stopped(tmp_path, values, 3, 10))


@pytest.mark.slow
def test_a_cache_on_the_disk_is_worth_one_in_memory(tmp_path: Path) -> None:
    on_disk = joined(LORA, FROZEN_TEXT, {"memory": {"cache_latents": "disk", "cache_text": "disk"}})
    in_memory = joined(LORA, FROZEN_TEXT, {"memory": {"cache_latents": "memory"}})
    assert_same_end(straight(tmp_path, in_memory), stopped(tmp_path, on_disk, 7))


@pytest.mark.slow
def test_some_whole_weights_with_their_average(tmp_path: Path) -> None:
    values = joined(WHOLE, SOME_WEIGHTS, {"ema": {"save": "both"}})
    one = straight(tmp_path, values)
    other = stopped(tmp_path, joined(values, BUSY), 1, 5, 9)
    assert_same_end(one, other)
    tensors = one.state()
    averages = [name for name in tensors if name.startswith("ema/")]
    assert averages and any(
        not torch.equal(tensors[name], tensors[name.replace("ema/", "trained/", 1)]) for name in averages
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AdamWScheduleFree", "Prodigy"])
def test_optimizers_with_states_of_their_own(tmp_path: Path, name: str) -> None:
    values = joined(LORA, FROZEN_TEXT, {"optimizer": {"name": name}})
    assert_same_end(straight(tmp_path, values), stopped(tmp_path, joined(values, BUSY), 4, 9))


@pytest.mark.slow
@pytest.mark.needs("bitsandbytes>=0.49")
def test_eight_bit_moments(tmp_path: Path) -> None:
    values = joined(LORA, {"optimizer": {"name": "AdamW8bit"}, "network": {"rank": 16}})
    assert_same_end(straight(tmp_path, values), stopped(tmp_path, values, 4, 9))


@pytest.mark.slow
def test_all_whole_weights_with_class_pictures(tmp_path: Path) -> None:
    values = joined(WHOLE, CLASSES)
    assert_same_end(straight(tmp_path, values), stopped(tmp_path, joined(values, BUSY), 3, 7, 10))


@pytest.mark.slow
def test_half_precision_with_rounding_by_chance(tmp_path: Path) -> None:
    values = joined(WHOLE, SOME_WEIGHTS, {"precision": {"weights": "half", "mixed": "bf16"}})
    assert_same_end(straight(tmp_path, values), stopped(tmp_path, values, 5, 9))


@pytest.mark.slow
def test_class_pictures_that_teach_what_the_base_answers(tmp_path: Path) -> None:
    values = joined(LORA, CLASSES, {"class_pictures": {"target": "base"}})
    assert_same_end(straight(tmp_path, values), stopped(tmp_path, values, 5, 9))


@pytest.mark.slow
def test_answers_of_the_base_stored_for_whole_weights(tmp_path: Path) -> None:
    values = joined(WHOLE, SOME_WEIGHTS, CLASSES, {"class_pictures": {"target": "base"}})
    one = straight(tmp_path, values)
    assert "asking the base model" in one.phases()
    assert_same_end(one, stopped(tmp_path, values, 5, 9))
