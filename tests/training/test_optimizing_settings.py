"""Every setting about rates, the optimizer, averages and number types does something."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.settings.length import plan_epoch, plan_length
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.averages import averages_of
from lib_dreambooth.training.objective.prior import class_weights
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.precision.arithmetic import resolve
from lib_dreambooth.training.precision.devices import Ability
from lib_dreambooth.training.rates.of_run import rates_of
from tests.training.made_parts import give_gradients, made_parts, plan_of

# In epochs of ten steps.
NUM_STEPS = 40
TWO = {"parts.text_encoder_1.train": True, "parts.text_encoder_2.train": True, "model.family": "sdxl"}
HALF = {"precision.weights": "half", "precision.mixed": "bf16"}
EMA = {"ema.use": True}
Effects = dict[str, tuple[dict[str, Any], Any]]


def schedule(name: str) -> dict[str, Any]:
    return {"rates.schedule": name}


# What has to be set beside it, and its own value.
RATES: Effects = {
    "rates.learning_rate": ({}, 3e-4),
    "rates.schedule": ({}, "linear"),
    "rates.warmup": ({}, "5 steps"),
    "rates.restarts": (schedule("cosine_with_restarts"), 3),
    "rates.power": (schedule("polynomial"), 2.0),
    "rates.timescale": (schedule("inverse_sqrt"), "9 steps"),
    "rates.decay": (schedule("warmup_stable_decay"), "50 %"),
    "rates.floor": (schedule("cosine"), 0.2),
    "rates.pieces": (schedule("piecewise_constant"), "1:7,0.1"),
    "rates.scale": ({"length.batch_size": 4}, True),
    "parts.unet.rate": (TWO, 2e-4),
    "parts.unet.start": (TWO, "3 steps"),
    "parts.unet.stop": (TWO, "50 %"),
    "parts.text_encoder_1.rate": (TWO, 2e-4),
    "parts.text_encoder_1.start": (TWO, "3 steps"),
    "parts.text_encoder_1.stop": (TWO, "50 %"),
    "parts.text_encoder_2.rate": (TWO, 2e-4),
    "parts.text_encoder_2.start": (TWO, "3 steps"),
    "parts.text_encoder_2.stop": (TWO, "50 %"),
}
MOVES: Effects = {
    "optimizer.name": ({}, "SGD"),
    "optimizer.weight_decay": ({"rates.learning_rate": 0.1}, 0.5),
    "optimizer.arguments": ({}, {"eps": 0.1}),
    "optimizer.max_grad_norm": ({"optimizer.name": "SGD"}, 0.01),
    "precision.stochastic_rounding": (HALF, False),
}
AVERAGES: Effects = {
    "ema.use": ({}, True),
    "ema.decay": (EMA, 0.05),
    "ema.every": (EMA, 2),
    "ema.place": (EMA, "system"),
}
NUMBERS: Effects = {
    "precision.mixed": ({}, "fp16"),
    "precision.weights": ({}, "half"),
    "precision.frozen": ({}, "fp8"),
    "precision.vae": ({}, "fp32"),
    "precision.tf32": ({}, False),
}
LENGTHS: Effects = {
    "length.train_for": ({}, "17 steps"),
    "length.whole_epochs": ({"length.train_for": "17 steps"}, True),
}
FALLING = {"class_pictures.weight": 0.8, "class_pictures.weight_min": 0.4, "class_pictures.fall": "20 steps"}
CLASSES: Effects = {
    "class_pictures.weight": (FALLING, 0.9),
    "class_pictures.weight_min": (FALLING, 0.1),
    "class_pictures.fall": (FALLING, "10 steps"),
}


def rates(run: Run) -> Any:
    found = rates_of(run, plan_of(NUM_STEPS), parts=(UNET, TEXT, TEXT_2))
    return [found.at(part, step) for part in found.parts for step in range(NUM_STEPS)]


def moved(run: Run) -> Any:
    """Weights after some steps."""
    parts = made_parts(dtype=torch.bfloat16 if run.precision.weights == "half" else torch.float32)
    optimizer = new_optimizer(run, parts, plan_of(NUM_STEPS))
    for step in range(3):
        torch.manual_seed(step)
        give_gradients(parts, step)
        optimizer.set_rates(step)
        optimizer.clip()
        optimizer.step()
        optimizer.zero_grad()
    return [part.parameter.tolist() for part in parts]


def averaged(run: Run) -> Any:
    """The averages of weights that move, and where they are once the card is asked for."""
    parts = made_parts()
    averages = averages_of(run.ema, parts)
    if averages is None:
        return None
    for step in range(1, 5):
        for part in parts:
            part.parameter.data.add_(step)
        averages.update(step)
    values = [tensor.tolist() for tensor in averages.values().values()]
    averages.to(torch.device("meta"))
    return values, [tensor.device for tensor in averages.values().values()]


def numbers(run: Run) -> Any:
    return resolve(run.precision, Ability("cuda", 8, True))


def length(run: Run) -> Any:
    return plan_length(plan_epoch([10], 1), run.length.train_for, run.length.whole_epochs).total_steps


def weights(run: Run) -> Any:
    weight = class_weights(run.class_pictures, plan_of(NUM_STEPS))
    return [weight(step) for step in range(NUM_STEPS)]


CASES = [
    pytest.param(outcome, path, *effect, id=path)
    for outcome, effects in (
        (rates, RATES),
        (moved, MOVES),
        (averaged, AVERAGES),
        (numbers, NUMBERS),
        (length, LENGTHS),
        (weights, CLASSES),
    )
    for path, effect in effects.items()
]


@pytest.mark.parametrize(("outcome", "path", "beside", "value"), CASES)
def test_a_setting_changes_what_is_done(outcome: Any, path: str, beside: dict[str, Any], value: Any) -> None:
    start = settings.replace(settings.defaults().run, {"draws.seed": 5, **beside})
    before = outcome(start)
    assert outcome(start) == before
    assert outcome(settings.replace(start, {path: value})) != before
