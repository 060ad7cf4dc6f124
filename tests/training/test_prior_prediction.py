"""What the untouched model answers, learned in place of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_dreambooth import settings
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.data.cache.stores import DiskStore, MemoryStore
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.order.batches import Visit
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.runs.events import DONE, Step
from lib_dreambooth.training.encoding import caption_states
from lib_dreambooth.training.micro_step import predict
from lib_dreambooth.training.objective.noised import Noised
from lib_dreambooth.training.objective.objective import Objective
from lib_dreambooth.training.objective.prior import Prior
from lib_dreambooth.training.trainer.base_answers import Asked, Stored, require_room
from tests.data.made_items import made_item
from tests.models.tiny import tiny_sd1
from tests.training import plain_step as plain
from tests.training.made_batches import made_batch, made_run
from tests.training.made_runs import LORA, WHOLE, MadeRun, joined

TRAINED = {"parts.text_encoder_1.train": True}
DROPOUTS = {"network.dropout": 0.3, "network.rank_dropout": 0.3, "network.module_dropout": 0.3}
TWO_CONCEPTS = [{"folder": "a"}, {"folder": "b", "target": "base"}, {"folder": "c", "role": "class"}]


def visit_of(concept: int, *, is_class: bool = False) -> Visit:
    return Visit(made_item(concept, concept=concept, is_class=is_class), 0, 1.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"concepts": TWO_CONCEPTS}, [1]),
        ({"concepts": TWO_CONCEPTS, "class_pictures.target": "base"}, [1, 2, 3, 4]),
        ({"concepts": [*TWO_CONCEPTS[:2], {**TWO_CONCEPTS[2], "target": "base"}]}, [1, 4]),
    ],
)
def test_who_learns_from_the_base(changes: dict[str, Any], expected: list[int]) -> None:
    visits = [visit_of(0), visit_of(1), visit_of(0, is_class=True), visit_of(1, is_class=True)]
    visits.append(visit_of(2, is_class=True))
    assert Prior.of(made_run(changes)).asked(visits, None) == expected


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd1(tmp_path_factory.mktemp("checkpoint"))


def asked(path: Path, changes: dict[str, object]) -> tuple[Asked, LoadedModel]:
    """A network with random weights on a model, and what asks the model below it."""
    run = made_run({**TRAINED, "network.rank": 2, **changes})
    model = read_model(path, dtype=torch.float32)
    trained = attach(run, model.modules, names_of(model.source.kind), "sd1", rules=model.rules)
    for part in trained.parts():
        values = Draw(1, "trained", part.name).normal(tuple(part.parameter.shape))
        part.parameter.data = 0.1 * torch.from_numpy(values).float()
    trained.training(True)
    return Asked(model, trained, partial(caption_states, model, style=plain.STYLE), None), model  # type: ignore[arg-type]


def untouched(path: Path, batch: Batch, noised: Noised, rows: Sequence[int]) -> Tensor:
    model = read_model(path, dtype=torch.float32)
    with torch.no_grad():
        states = caption_states(model, [batch.captions[row] for row in rows], plain.STYLE)
        some = Noised(noised.noisy[rows], noised.target[rows], noised.timesteps[rows], noised.weights[rows])
        return predict(model, some, states, batch.size_ids[rows])


@pytest.mark.slow
def test_a_network_is_asked_past_bit_for_bit(path: Path) -> None:
    ask, model = asked(path, DROPOUTS)
    batch = made_batch(dtype=torch.float32)
    noised = Objective(made_run(), model).noised(batch)
    before = torch.get_rng_state()
    found = ask(batch, noised, [0, 2])
    assert torch.equal(found, untouched(path, batch, noised, [0, 2]))
    assert not found.requires_grad
    assert torch.equal(torch.get_rng_state(), before)
    # Afterwards the network acts as before.
    with torch.no_grad():
        states = caption_states(model, batch.captions, plain.STYLE)
        assert not torch.equal(predict(model, noised, states, batch.size_ids)[[0, 2]], found)


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [False, True])
def test_stored_answers_are_those_of_the_base(path: Path, tmp_path: Path, on_disk: bool) -> None:
    ask, model = asked(path, {})
    store = DiskStore(tmp_path) if on_disk else MemoryStore()
    stored = Stored(ask, store, "tiny")
    batch = made_batch(dtype=torch.float32)
    noised = Objective(made_run(), model).noised(batch)
    assert stored.keep(batch, noised, [1])
    stored.flush()
    assert not stored.keep(batch, noised, [1])
    assert torch.equal(stored(batch, noised, [1]), ask(batch, noised, [1]))
    other = replace(batch, captions=("another", *batch.captions[1:]))
    for one, rows in ((batch, [0]), (other, [1])):
        with pytest.raises(UserError) as raised:
            stored(one, noised, rows)
        assert raised.value.code == "cache-damaged"
    if on_disk:
        again = Stored(ask, DiskStore(tmp_path), "tiny")
        assert not again.keep(batch, noised, [1])
        assert again.names() == stored.names()


def test_too_little_room_for_answers_is_said(tmp_path: Path) -> None:
    require_room(tmp_path / "not there yet", 1000)
    with pytest.raises(UserError) as raised:
        require_room(tmp_path, 1 << 60)
    assert raised.value.code == "disk-full"


def test_whole_weights_need_an_end_to_store_answers_for() -> None:
    endless = {"network.kind": "none", "length.train_for": "until stopped", "rates.schedule": "constant"}
    base = {"class_pictures.relation": "mixed", "class_pictures.target": "base"}
    with pytest.raises(SettingsError) as raised:
        settings.replace(settings.defaults().run, {**endless, **base})
    assert "class_pictures.target" in [problem.where for problem in raised.value.problems]
    with pytest.raises(SettingsError) as raised:
        settings.replace(settings.defaults().run, {**endless, **base, "network.kind": "lora"})
    assert "class_pictures.target" not in [problem.where for problem in raised.value.problems]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["lora", "whole"])
def test_who_learns_only_from_the_base_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    still = {"optimizer": {"weight_decay": 0.0}, "length": {"train_for": "3 steps"}, "ema": {"use": False}}
    run = MadeRun(tmp_path, joined(LORA if kind == "lora" else WHOLE, still), num_pictures=4)
    run.values = joined(run.values, {"concepts": [{"folder": str(run.pictures), "target": "base"}]})
    assert run.run().outcome == DONE
    assert [event.loss for event in run.told(Step)] == [0.0] * 3


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_outside_a_mask_a_run_asks_the_base(tmp_path: Path) -> None:
    run = MadeRun(tmp_path, joined(LORA, {"length": {"train_for": "2 steps"}}), num_pictures=4)
    masks = tmp_path / "masks"
    masks.mkdir()
    for picture in run.pictures.glob("*.png"):
        mask = Image.new("L", Image.open(picture).size, 0)
        mask.paste(255, (0, 0, mask.width // 2, mask.height))
        mask.save(masks / picture.name)
    concept = {"folder": str(run.pictures), "mask_folder": str(masks)}
    losses = {}
    for weight in (0.0, 4.0):
        one = MadeRun(tmp_path / str(weight), run.values, num_pictures=4)
        one.values = joined(
            run.values,
            {"concepts": [concept], "pictures": {"masks": True}, "loss": {"outside_base": weight}},
        )
        assert one.run().outcome == DONE
        losses[weight] = [event.loss for event in one.told(Step)]
    # A new network answers as the base does; once it has moved it is held.
    assert losses[0.0][0] == losses[4.0][0]
    assert losses[0.0][1] != losses[4.0][1]
