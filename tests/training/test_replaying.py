"""Steps played from a recording: the same weights, and nothing enters them but by their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.models.encode import TextStates
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.objective.objective import Objective
from lib_dreambooth.training.optimizers.building import fuses_on_cpu, new_optimizer
from lib_dreambooth.training.trainer.awaited import known
from lib_dreambooth.training.trainer.replaying import Replays, can_replay, replays_of
from lib_dreambooth.training.trainer.stepping import Stepper
from lib_dreambooth.training.trainer.texts import CachedTexts
from lib_dreambooth.training.trainer.trainer import shortened
from tests.models.tiny import tiny_sd1
from tests.training.made_batches import made_batch, made_run
from tests.training.made_parts import plan_of
from tests.training.played_graph import Failing, Played, Wrong

SETTINGS: dict[str, object] = {
    "network.rank": 2,
    "parts.text_encoder_1.train": False,
    "optimizer.name": "AdamW",
    "optimizer.max_grad_norm": 0.5,
    "rates.learning_rate": 1e-2,
    # Each step has a rate of its own.
    "rates.schedule": "cosine",
}
NUM_STEPS, WARM = 8, 1

needs_one_call = pytest.mark.skipif(
    not fuses_on_cpu(), reason="this PyTorch moves all weights in one call on cards only"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float32)


def states_of(captions: tuple[str, ...]) -> TextStates:
    return TextStates((torch.stack([Draw(1, one).normal_tensor((77, 64)) for one in captions]).float(),))


@pytest.fixture
def ready_of(model: LoadedModel) -> Iterator[Callable[..., Any]]:
    made = []

    def make(changes: dict[str, object] | None = None) -> Any:
        run = made_run({**SETTINGS, **(changes or {})})
        trained = attach(run, model.modules, names_of(model.source.kind), "sd1", rules=model.rules)
        made.append(trained)
        return SimpleNamespace(
            run=run, model=model, trained=trained, parts=trained.parts(), pieces=1,
            device=torch.device("cpu"),
            optimizer=new_optimizer(run, trained.parts(), plan_of(NUM_STEPS)),
            objective=Objective(run, model),
            process=SimpleNamespace(is_alone=True, place_of=lambda number: number), texts=states_of,
            scale=None, is_fused=False, averages=None, base_answers=None, autocast_dtype=None,
        )  # fmt: skip

    yield make
    for trained in made:
        trained.eject()


def begun(ready: Any) -> None:
    """One move as always, after which everything that is remembered is there."""
    ready.optimizer.set_rates(0)
    for part in ready.parts:
        part.parameter.grad = torch.zeros_like(part.parameter)
    ready.optimizer.clip()
    ready.optimizer.step(leave_out=torch.zeros(()))
    ready.optimizer.zero_grad()


def batches() -> list[Any]:
    """Of two shapes by turns, no two with the same noise."""
    shapes = [((0, 1), (16, 8)), ((2,), (8, 16))]
    return [
        made_batch(shapes[step % 2][0], step, latent_hw=shapes[step % 2][1], dtype=torch.float32)
        for step in range(NUM_STEPS)
    ]


def trained(
    ready: Any, make: Callable[[], Any] | None, told: list[str] | None = None
) -> tuple[list[float], dict[str, Tensor], int]:
    """The losses and weights of all steps, and how many were played."""

    def replays(ready: Any, is_spoilt: Tensor) -> Any:
        return None if make is None else Replays(ready, is_spoilt, make, (told or []).append, WARM)

    stepper = Stepper(ready, lambda part: None, replays)
    with shortened(ready.run, ready.trained, ready.model.unet):
        losses = [known(stepper.take(step, [batch])).loss for step, batch in enumerate(batches())]
    weights = {part.name: part.parameter.detach().clone() for part in ready.parts}
    ready.trained.eject()
    return losses, weights, 0 if stepper.replays is None else stepper.replays.num_played


@needs_one_call
@pytest.mark.parametrize("changes", [{}, {"memory.joined": "off"}], ids=str)
def test_played_steps_teach_the_same(ready_of: Callable[..., Any], changes: dict[str, object]) -> None:
    wanted, weights, _ = trained(ready_of(changes), None)
    losses, found, num_played = trained(ready_of(changes), Played)
    # A step whose rate is 0 moves nothing, and is another step.
    assert num_played >= NUM_STEPS - 2 * WARM - 1
    assert losses == pytest.approx(wanted, rel=1e-5)
    for name, weight in weights.items():
        # AdamW makes whole steps of the rounding where gradients are next to nothing.
        assert float((found[name] - weight).norm() / weight.norm()) < 5e-3, name


@needs_one_call
def test_what_refuses_to_be_recorded_costs_nothing(ready_of: Callable[..., Any]) -> None:
    told: list[str] = []
    told.append("first")
    wanted, weights, _ = trained(ready_of(), None)
    losses, found, num_played = trained(ready_of(), Failing, told)
    assert num_played == 0
    assert told[1:] == ["operation not permitted when stream is capturing"]
    assert losses == wanted
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


@needs_one_call
def test_another_loss_ends_it_and_takes_the_step_back(
    ready_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ["first"]
    wanted, weights, _ = trained(ready_of(), None)
    ready = ready_of()
    monkeypatch.setattr(Wrong, "places", tuple(part.parameter for part in ready.parts))
    loss = Replays._loss
    asked = []

    def differs(self: Replays, *given: Any) -> Tensor:
        asked.append(1)
        return loss(self, *given) * (1.0 + 0.5 * (len(asked) % 2))

    monkeypatch.setattr(Replays, "_loss", differs)
    losses, found, num_played = trained(ready, Wrong, told)
    assert num_played == 0
    assert len(told) == 2 and "gave a loss of" in told[1]
    assert losses == wanted
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


@needs_one_call
def test_what_moved_is_recorded_anew(ready_of: Callable[..., Any]) -> None:
    ready = ready_of()
    made: list[Played] = []

    def make() -> Played:
        made.append(Played())
        return made[-1]

    replays = Replays(ready, torch.zeros((), dtype=torch.bool), make, lambda why: None, warm_steps=0)
    begun(ready)
    [batch] = batches()[:1]
    assert replays.step(batch) is not None and replays.step(batch) is not None
    assert len(made) == 1
    parameter = ready.parts[0].parameter
    parameter.data = parameter.data.clone()
    assert replays.step(batch) is not None
    assert len(made) == 2


@needs_one_call
def test_a_loss_that_is_none_moves_nothing(ready_of: Callable[..., Any]) -> None:
    ready = ready_of()
    is_spoilt = torch.zeros((), dtype=torch.bool)
    replays = Replays(ready, is_spoilt, Played, lambda why: None, warm_steps=0)
    begun(ready)
    [batch] = batches()[:1]
    assert replays.step(batch) is not None
    before = [part.parameter.detach().clone() for part in ready.parts]
    batch.latents[0, 0, 0, 0] = float("nan")
    given = replays.step(batch)
    assert given is not None and given[0].isnan() and bool(is_spoilt)
    batch.latents[0, 0, 0, 0] = 0.0
    assert replays.step(batch) is not None
    assert all(torch.equal(part.parameter, kept) for part, kept in zip(ready.parts, before, strict=True))


@pytest.mark.parametrize(
    ("changes", "can"),
    [
        ({}, True),
        ({"length.accumulation": 2}, False),
        ({"network.dropout": 0.1}, False),
        ({"parts.text_encoder_1.train": True}, False),
    ],
    ids=str,
)
def test_only_what_has_fixed_places_is_recorded(
    ready_of: Callable[..., Any], changes: dict[str, object], can: bool
) -> None:
    ready = ready_of(changes)
    ready.texts = CachedTexts.__new__(CachedTexts)
    assert can_replay(ready) == can
    ready.texts = states_of
    assert not can_replay(ready)


def test_auto_is_off_and_without_a_card_nothing_is_recorded(ready_of: Callable[..., Any]) -> None:
    told: list[str] = []
    for setting in ("auto", "on", "off"):
        ready = ready_of({"memory.cuda_graphs": setting})
        assert replays_of(ready, torch.zeros(()), told.append) is None
        ready.device = torch.device("cuda")
        assert replays_of(ready, torch.zeros(()), told.append) is None
    # Only where it was asked for is it said what stands against it.
    assert len(told) == 1
