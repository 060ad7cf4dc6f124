"""Every setting of the loss and of the noise does something."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_dreambooth.settings.fields import all_fields
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.objective.objective import Objective
from tests.training.made_batches import bare_model, made_batch, made_masks, made_run

SECTIONS = ("loss.", "noise.", "draws.seed", "model.prediction")
# Obeyed where the untouched model is asked, which is not part of the objective itself.
ELSEWHERE = {"loss.outside_base"}
MASKED = {"pictures.masks": True}
HUBER = {"loss.kind": "huber"}
VELOCITY = {"model.prediction": "velocity"}
# For each setting another value than its default, and what it needs to apply.
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "model.prediction": ("velocity", {}),
    "loss.kind": ("l1", {}),
    "loss.huber_schedule": ("constant", HUBER),
    "loss.huber_c": (0.2, HUBER),
    "loss.huber_scale": (2.0, {**HUBER, "loss.huber_schedule": "exponential"}),
    "loss.min_snr_gamma": (0.0, {}),
    "loss.debiased": (True, {}),
    "loss.scale_v_pred": (True, VELOCITY),
    "loss.v_pred_like": (0.5, {}),
    "loss.snr_of": ("kohya", {"noise.zero_terminal": "on"}),
    "loss.mask_average": ("picture", MASKED),
    "loss.outside_mask": (0.3, MASKED),
    "loss.unmasked": (0.5, MASKED),
    "noise.offset": (0.1, {}),
    "noise.offset_random": (True, {"noise.offset": 0.1}),
    "noise.offset_adaptive": (0.5, {"noise.offset": 0.1}),
    "noise.pyramid_levels": (6, {}),
    "noise.pyramid_discount": (0.8, {"noise.pyramid_levels": 6}),
    "noise.pyramid_norm": ("batch", {"noise.pyramid_levels": 6}),
    "noise.perturbation": (0.1, {}),
    "noise.perturbation_random": (True, {"noise.perturbation": 0.1}),
    "noise.zero_terminal": ("on", {}),
    "noise.first_timestep": (500, {}),
    "noise.last_timestep": (500, {}),
    "noise.timesteps": ("late", {}),
    "noise.timesteps_spread": (3.0, {"noise.timesteps": "early"}),
    "noise.timesteps_shift": (1.0, {"noise.timesteps": "logit_normal"}),
    "draws.seed": (8, {}),
}
COUNT = 32


def outcome(run: Run) -> list[torch.Tensor]:
    """What a run makes of a batch, and what an answer of zero costs."""
    objective = Objective(run, bare_model())
    made = objective.noised(made_batch(range(COUNT), masks=made_masks(COUNT)))
    losses = objective.loss(torch.zeros_like(made.target), made, torch.full((COUNT,), 1 / COUNT))
    return [made.noisy, made.target, made.timesteps, losses.total, losses.per_picture]


@pytest.mark.slow
@pytest.mark.parametrize("path", OTHERS)
def test_a_setting_changes_the_noised_batch_or_its_loss(path: str) -> None:
    value, needed = OTHERS[path]
    before, after = outcome(made_run(needed)), outcome(made_run({**needed, path: value}))
    assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert torch.isfinite(after[3])


@pytest.mark.parametrize("value", ["l2", "l1", "huber", "smooth_l1"])
def test_every_kind_of_loss_gives_another_number(value: str) -> None:
    totals = {
        kind: outcome(made_run({"loss.kind": kind}))[3].item() for kind in ("l2", "l1", "huber", "smooth_l1")
    }
    assert [kind for kind, total in totals.items() if total == totals[value]] == [value]


@pytest.mark.parametrize("value", ["uniform", "logit_normal", "early", "late"])
def test_every_distribution_gives_other_levels(value: str) -> None:
    levels = {
        kind: outcome(made_run({"noise.timesteps": kind}))[2].tolist()
        for kind in ("uniform", "logit_normal", "early", "late")
    }
    assert [kind for kind, found in levels.items() if found == levels[value]] == [value]


@pytest.mark.parametrize(("value", "is_most"), [("early", True), ("late", False)])
def test_early_is_much_noise_and_late_is_little(value: str, is_most: bool) -> None:
    objective = Objective(made_run({"noise.timesteps": value}), bare_model())
    mean = objective.noised(made_batch(range(200), latent_hw=(2, 2))).timesteps.double().mean()
    assert (mean > 600) == is_most
    assert (mean < 400) != is_most


def test_no_setting_is_forgotten() -> None:
    paths = {field.path for field in all_fields() if field.path.startswith(SECTIONS)}
    assert paths == set(OTHERS) | ELSEWHERE
