"""Loss and every gradient of one step against plain PyTorch, in double precision, to 1e-5 of their size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.encoding import caption_states
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.objective import Objective
from tests.adapters import variants
from tests.models.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from tests.training import plain_step as plain
from tests.training.made_batches import made_batch, made_masks, made_run

pytestmark = pytest.mark.once

SEED = 7
RELATIVE = 1e-5
BUILDERS = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
PREDICTIONS = {"sd1": "noise", "sd2": "velocity", "sdxl": "noise"}
NETWORKS: dict[str, dict[str, Any]] = {
    "lora": {"network.kind": "lora", "network.rank": 3, "network.conv_rank": 2, "network.alpha": 1.5},
    "whole": {"network.kind": "none"},
    **{
        kind: {f"network.{name}": value for name, value in network.items()}
        for kind, network in variants.KINDS.items()
    },
}
PLAIN = {"loss.min_snr_gamma": 0.0}
TEXT = {"parts.text_encoder_1.train": True, "parts.text_encoder_2.train": True}


@dataclass(eq=False)
class Case:
    """A model at work, the same step in plain numbers, and the settings that both were made with."""

    family: str
    settings: dict[str, object]
    model: LoadedModel
    ours: Trainable
    batch: Batch
    plain: plain.Plain

    def gradients(
        self, changes: dict[str, object], masks: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the real step gives under other settings of the loss."""
        objective = Objective(self.run(changes), self.model)
        states_of = partial(caption_states, self.model, style=plain.STYLE)
        losses = micro_step(self.model, objective, replace(self.batch, masks=masks), states_of)
        for part in self.ours.parts():
            part.parameter.grad = None
        losses.total.backward()  # type: ignore[no-untyped-call]
        gradients = {part.name: part.parameter.grad for part in self.ours.parts()}
        return losses.per_picture, {name: value for name, value in gradients.items() if value is not None}

    def run(self, changes: dict[str, object]) -> Run:
        return made_run({**self.settings, **changes})


def made_case(path: Path, family: str, network: str, changes: dict[str, object] | None = None) -> Case:
    """A tiny model with random low-rank weights or its own weights trained, text encoders included."""
    settings: dict[str, Any] = {**NETWORKS[network], **TEXT, "model.prediction": PREDICTIONS[family]}
    settings |= {"draws.seed": SEED, **(changes or {})}
    run = made_run(settings)
    model, other = (read_model(path, dtype=torch.float64) for _ in range(2))
    names = names_of(model.source.kind)
    ours = attach(run, model.modules, names, family, rules=model.rules, dtype=torch.float64)
    if network != "whole":
        for part in ours.parts():
            values = Draw(1, "trained", part.name).normal(tuple(part.parameter.shape))
            moved = 0.1 * torch.from_numpy(values).double()
            # Lengths stay near those of the weights.
            is_length = part.name.endswith(("dora_scale", "rescale"))
            part.parameter.data = part.parameter.data * (1 + moved) if is_length else moved
    batch = made_batch(shares=(0.5, 0.3, 0.2))
    prediction = str(settings["model.prediction"])
    is_terminal = settings.get("noise.zero_terminal") == "on"
    table = plain.at_zero_terminal(plain.alphas_bar()) if is_terminal else plain.alphas_bar()
    step = plain.plain_step(other, prediction, batch, plain.leaves(other, ours), table, SEED)
    return Case(family, settings, model, ours, batch, step)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: build(folder) for family, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, paths: dict[str, Path]) -> Iterator[Case]:
    yield made_case(paths[request.param], request.param, "lora")


def assert_equal(
    case: Case, changes: dict[str, object], formula: plain.Formula, *, has_masks: bool = False
) -> None:
    """Losses of pictures, and gradients of everything that is trained."""
    masks = made_masks(3)
    expected = formula(case.plain, masks)
    wanted = case.plain.gradients(expected, torch.tensor([0.5, 0.3, 0.2]))
    per_picture, gradients = case.gradients(changes, masks if has_masks else None)
    assert torch.allclose(per_picture, expected, rtol=RELATIVE, atol=0)
    assert set(gradients) == set(wanted)
    largest = max(float(value.norm()) for value in wanted.values())
    far = {
        name: float((gradients[name] - value).norm() / value.norm())
        for name, value in wanted.items()
        # What is zero but for rounding (such as a bias that softmax takes out) has no relative error.
        if value.norm() > 1e-12 * largest and (gradients[name] - value).norm() > RELATIVE * value.norm()
    }
    assert far == {}
    assert largest > 0


@pytest.mark.parametrize("family", BUILDERS)
@pytest.mark.parametrize("network", [pytest.param("whole", marks=pytest.mark.slow), "lora"])
def test_a_step_by_default(paths: dict[str, Path], family: str, network: str) -> None:
    case = made_case(paths[family], family, network)
    assert_equal(case, {}, partial(plain.min_snr, prediction=PREDICTIONS[family]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", variants.KINDS)
def test_every_kind_of_network(paths: dict[str, Path], kind: str) -> None:
    case = made_case(paths["sd1"], "sd1", kind)
    assert_equal(case, {}, partial(plain.min_snr, prediction="noise"))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd2", "sdxl"])
@pytest.mark.parametrize("kind", ["lokr", "oft bound"])
def test_kinds_of_network_in_other_families(paths: dict[str, Path], family: str, kind: str) -> None:
    case = made_case(paths[family], family, kind)
    assert_equal(case, {}, partial(plain.min_snr, prediction=PREDICTIONS[family]))


def by_signal(formula: Callable[[plain.Plain], Tensor]) -> plain.Formula:
    """A factor from the signal-to-noise ratio on the mean squared error."""
    return lambda step, masks: formula(step) * plain.mean_square(step, masks)


# The settings, and the loss of each picture as the papers and kohya's documents write it.
OF_EVERY_PREDICTION: dict[str, tuple[dict[str, object], plain.Formula]] = {
    "l2": ({}, plain.mean_square),
    "l1": ({"loss.kind": "l1"}, plain.mean_absolute),
    **{
        f"{kind} {schedule}": (
            {"loss.kind": kind, "loss.huber_schedule": schedule, "loss.huber_scale": 1.5},
            partial(plain.huber, schedule=schedule, is_smooth=kind == "smooth_l1"),
        )
        for kind in ("huber", "smooth_l1")
        for schedule in ("constant", "exponential", "snr")
    },
    "mask": ({"pictures.masks": True}, plain.masked),
    "mask over the picture": (
        {"pictures.masks": True, "loss.mask_average": "picture"},
        partial(plain.masked, over_picture=True),
    ),
    "mask with an outside": (
        {"pictures.masks": True, "loss.outside_mask": 0.2},
        partial(plain.masked, outside=0.2),
    ),
    "mask left aside": ({"pictures.masks": True, "loss.unmasked": 1.0}, plain.mean_square),
}
OF_NOISE: dict[str, tuple[dict[str, object], plain.Formula]] = {
    "debiased": ({"loss.debiased": True}, by_signal(lambda step: step.snr**-0.5)),
    "v-like": (
        {"loss.v_pred_like": 0.4},
        by_signal(lambda step: 1 + 0.4 / (step.snr / (step.snr + 1))),
    ),
}
OF_VELOCITY: dict[str, tuple[dict[str, object], plain.Formula]] = {
    "debiased": ({"loss.debiased": True}, by_signal(lambda step: 1 / (step.snr + 1))),
    "scaled": ({"loss.scale_v_pred": True}, by_signal(lambda step: step.snr / (step.snr + 1))),
    "scaled and min-snr": (
        {"loss.scale_v_pred": True, "loss.min_snr_gamma": 5.0},
        by_signal(lambda step: step.snr / (step.snr + 1) * step.snr.clamp(max=5) / (step.snr + 1)),
    ),
}
KINDS = {
    "sd1": {**OF_EVERY_PREDICTION, **OF_NOISE},
    "sd2": {**OF_EVERY_PREDICTION, **OF_VELOCITY},
    "sdxl": {**OF_EVERY_PREDICTION, **OF_NOISE},
}


PAIRS = [
    pytest.param(family, kind, marks=[pytest.mark.slow] if family == "sdxl" else [])
    for family, kinds in KINDS.items()
    for kind in kinds
]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "kind"), PAIRS, indirect=["case"])
def test_kinds_of_loss_and_weights(case: Case, kind: str) -> None:
    changes, formula = KINDS[case.family][kind]
    assert_equal(case, {**PLAIN, **changes}, formula, has_masks="pictures.masks" in changes)


@pytest.mark.slow
@pytest.mark.parametrize("prediction", ["noise", "velocity", "sample"])
@pytest.mark.parametrize("zero_terminal", ["off", "on"])
def test_predictions_and_zero_terminal(paths: dict[str, Path], prediction: str, zero_terminal: str) -> None:
    changes = {"model.prediction": prediction, "noise.zero_terminal": zero_terminal}
    case = made_case(paths["sd1"], "sd1", "lora", changes)
    assert_equal(case, {}, partial(plain.min_snr, prediction=prediction))
