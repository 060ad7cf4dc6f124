"""Captions as the settings say, and one micro-batch through a tiny model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.models.encode import TextStates, TextStyle, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.encoding import caption_states, text_style
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.objective import Objective
from tests.models.tiny import tiny_sdxl
from tests.training.made_batches import made_batch, made_run

LONG = "(red:1.4) circle, " * 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sdxl(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float32)


def states(model: LoadedModel, changes: dict[str, object], caption: str = LONG) -> TextStates:
    with torch.no_grad():
        return caption_states(model, [caption], text_style(made_run(changes)))


def test_captions_are_read_as_the_webui_does_by_default(model: LoadedModel) -> None:
    found = states(model, {}, "(a red circle), BREAK")
    expected = encode_prompts(model.encoders, ["(a red circle), BREAK"], TextStyle(emphasis="None"))
    assert torch.equal(found.joined(), expected.joined())
    assert found.joined().shape[1] == 77


@pytest.mark.parametrize(
    ("path", "value", "needed"),
    [
        ("captions.weights", True, {}),
        ("captions.max_tokens", 75, {}),
        ("captions.long_prompts", "kohya", {}),
    ],
)
def test_settings_of_captions_change_their_states(
    model: LoadedModel, path: str, value: object, needed: dict[str, object]
) -> None:
    before, after = states(model, needed).joined(), states(model, {**needed, path: value}).joined()
    assert before.shape != after.shape or not torch.equal(before, after)


@pytest.mark.parametrize(
    ("kind", "most", "length"),
    [("webui", 75, 77), ("webui", 150, 154), ("kohya", 75, 77), ("kohya", 225, 227)],
)
def test_long_captions_are_cut(model: LoadedModel, kind: str, most: int, length: int) -> None:
    changes = {"captions.long_prompts": kind, "captions.max_tokens": most}
    assert states(model, changes, "circle " * 400).joined().shape[1] == length


def test_a_cut_caption_is_the_caption_without_its_end(model: LoadedModel) -> None:
    short = {"captions.max_tokens": 75}
    assert torch.equal(
        states(model, short, "red, " * 60).joined(), states(model, short, "red, " * 37 + "red").joined()
    )


def test_clip_skip_is_the_runs() -> None:
    assert text_style(made_run({"model.clip_skip": 2})).clip_skip == 2


def test_states_may_be_given_or_made(model: LoadedModel) -> None:
    objective, batch = Objective(made_run(), model), made_batch(dtype=torch.float32)
    states_of = partial(caption_states, model, style=text_style(made_run()))
    made = micro_step(model, objective, batch, states_of)
    given = micro_step(model, objective, batch, states_of(batch.captions))
    ahead = micro_step(model, objective, batch, states_of, noised=objective.noised(batch))
    assert made.total == given.total == ahead.total
    assert made.total.item() == pytest.approx(made.per_picture.mean().item())


def test_size_ids_and_captions_reach_the_unet(model: LoadedModel) -> None:
    objective, batch = Objective(made_run(), model), made_batch(dtype=torch.float32)
    states_of = partial(caption_states, model, style=text_style(made_run()))
    totals = {
        micro_step(model, objective, changed, states_of).total.item()
        for changed in (
            batch,
            replace(batch, size_ids=batch.size_ids + 64),
            replace(batch, captions=("other",) * 3),
        )
    }
    assert len(totals) == 3


def test_gradients_flow_only_where_something_is_trained(model: LoadedModel) -> None:
    objective, batch = Objective(made_run(), model), made_batch(dtype=torch.float32)
    states_of = partial(caption_states, model, style=text_style(made_run()))
    weight = next(p for name, p in model.modules[TEXT].named_parameters() if name.endswith("q_proj.weight"))
    assert not micro_step(model, objective, batch, states_of).total.requires_grad
    weight.requires_grad_(True)
    try:
        assert states_of(batch.captions).states[0].requires_grad
        assert not states_of(batch.captions).states[1].requires_grad
        micro_step(model, objective, batch, states_of).total.backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None and weight.grad.abs().sum() > 0
        assert all(parameter.grad is None for parameter in model.modules[UNET].parameters())
    finally:
        weight.requires_grad_(False)
        weight.grad = None


def test_mixed_precision_computes_the_loss_in_float32(model: LoadedModel) -> None:
    objective, batch = Objective(made_run(), model), made_batch(dtype=torch.float32)
    states_of = partial(caption_states, model, style=text_style(made_run()))
    full = micro_step(model, objective, batch, states_of).total
    mixed = micro_step(model, objective, batch, states_of, autocast_dtype=torch.bfloat16).total
    assert mixed.dtype == torch.float32
    assert mixed != full
    assert mixed.item() == pytest.approx(full.item(), rel=0.05)
