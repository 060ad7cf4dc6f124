"""From a batch to what is noised and what it costs."""

from __future__ import annotations

import pytest
import torch

from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.diffusion.schedule import stable_diffusion_schedule
from lib_dreambooth.training.objective.noised import Noised
from lib_dreambooth.training.objective.objective import Objective
from tests.training.made_batches import bare_model, made_batch, made_masks, made_run

ALL_NOISES = {
    "noise.offset": 0.1,
    "noise.offset_random": True,
    "noise.offset_adaptive": 0.2,
    "noise.pyramid_levels": 4,
    "noise.perturbation": 0.1,
    "noise.perturbation_random": True,
    "noise.timesteps": "logit_normal",
}


def objective(changes: dict[str, object] | None = None, prediction: str = "epsilon") -> Objective:
    return Objective(made_run(changes), bare_model(prediction))


def same(first: Noised, second: Noised) -> bool:
    return torch.equal(first.noisy, second.noisy) and torch.equal(first.timesteps, second.timesteps)


def part_of(made: Noised, number: int) -> Noised:
    one = slice(number, number + 1)
    return Noised(made.noisy[one], made.target[one], made.timesteps[one], made.weights[one])


@pytest.mark.parametrize("changes", [{}, ALL_NOISES], ids=["plain", "all"])
def test_neighbours_change_nothing(changes: dict[str, object]) -> None:
    ours = objective(changes)
    together = ours.noised(made_batch((4, 0, 9)))
    for place, number in enumerate((4, 0, 9)):
        assert same(part_of(together, place), ours.noised(made_batch((number,))))


def test_a_batchs_own_norm_does_depend_on_neighbours_as_in_kohya() -> None:
    ours = objective({"noise.pyramid_levels": 4, "noise.pyramid_norm": "batch"})
    together = ours.noised(made_batch((0, 1, 2)))
    assert together.target.std().item() == pytest.approx(1.0)
    assert not same(part_of(together, 0), ours.noised(made_batch((0,))))


def test_each_visit_and_each_seed_has_noise_of_its_own() -> None:
    first = objective().noised(made_batch(visit=0))
    assert same(first, objective().noised(made_batch(visit=0)))
    assert not torch.equal(first.target, objective().noised(made_batch(visit=1)).target)
    assert not torch.equal(first.target, objective({"draws.seed": 8}).noised(made_batch()).target)


def test_noise_and_timesteps_are_the_draws_of_the_visit() -> None:
    made = objective().noised(made_batch((5,), visit=3))
    noise = Draw(7, "noise", "a00005", 3).normal_tensor((4, 8, 8)).double()
    assert torch.equal(made.target[0], noise)
    assert made.timesteps.tolist() == [Draw(7, "timestep", "a00005", 3).integer(1000)]
    alpha_bar = stable_diffusion_schedule().alphas_bar[made.timesteps]
    latents = made_batch((5,)).latents
    assert torch.allclose(made.noisy, alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise)


@pytest.mark.parametrize(
    ("setting", "of_model", "expected"),
    [
        ("auto", "epsilon", "epsilon"),
        ("auto", "v", "v"),
        ("noise", "v", "epsilon"),
        ("velocity", "epsilon", "v"),
        ("sample", "epsilon", "sample"),
    ],
)
def test_the_target_is_what_the_model_predicts(setting: str, of_model: str, expected: str) -> None:
    ours = objective({"model.prediction": setting}, of_model)
    batch = made_batch()
    made = ours.noised(batch)
    alphas_bar = stable_diffusion_schedule().alphas_bar[made.timesteps].reshape(-1, 1, 1, 1)
    noise = objective().noised(batch).target
    targets = {
        "epsilon": noise,
        "v": alphas_bar.sqrt() * noise - (1 - alphas_bar).sqrt() * batch.latents,
        "sample": batch.latents,
    }
    assert ours.prediction == expected
    assert torch.allclose(made.target, targets[expected])


@pytest.mark.parametrize(
    ("setting", "of_model", "is_terminal"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("on", False, True),
        ("on", True, True),
        ("off", True, False),
    ],
)
def test_the_schedule_is_the_one_that_is_asked_for(setting: str, of_model: bool, is_terminal: bool) -> None:
    model = bare_model("v", is_zero_terminal=of_model)
    ours = Objective(made_run({"noise.zero_terminal": setting}), model)
    expected = stable_diffusion_schedule(is_zero_terminal=is_terminal)
    assert torch.equal(ours.schedule.alphas_bar, expected.alphas_bar)
    assert (ours.schedule.alphas_bar[-1] == 0) == is_terminal


def test_the_last_level_of_a_zero_terminal_schedule_is_pure_noise_with_a_finite_loss() -> None:
    changes = {"noise.zero_terminal": "on", "noise.first_timestep": 999, "loss.debiased": True}
    for prediction in ("noise", "velocity", "sample"):
        for kind in ("l2", "huber"):
            ours = objective({**changes, "loss.kind": kind, "model.prediction": prediction})
            made = ours.noised(made_batch())
            assert torch.equal(made.noisy, objective().noised(made_batch()).target)
            losses = ours.loss(torch.zeros_like(made.target), made, torch.full((3,), 1 / 3))
            assert torch.isfinite(losses.total)


def test_a_perturbed_input_keeps_its_target() -> None:
    plain, ours = (
        objective().noised(made_batch()),
        objective({"noise.perturbation": 0.5}).noised(made_batch()),
    )
    assert torch.equal(plain.target, ours.target)
    alphas_bar = stable_diffusion_schedule().alphas_bar[plain.timesteps].reshape(-1, 1, 1, 1)
    added = (ours.noisy - plain.noisy) / (1 - alphas_bar).sqrt()
    assert added.std().item() == pytest.approx(0.5, rel=0.1)


def test_random_strengths_lie_below_the_value() -> None:
    batch = made_batch(range(40))
    plain = objective().noised(batch).target
    full, random = (
        (objective({"noise.offset": 0.2, "noise.offset_random": is_random}).noised(batch).target - plain)
        for is_random in (False, True)
    )
    ratios = (random / full).mean((1, 2, 3))
    assert ratios.min() >= 0 and ratios.max() <= 1
    assert ratios.mean().item() == pytest.approx(0.5, abs=0.15)
    assert torch.allclose(random, full * ratios.reshape(-1, 1, 1, 1))


def test_weights_follow_the_timesteps() -> None:
    ours = objective({"loss.min_snr_gamma": 5.0, "noise.zero_terminal": "on"}, "v")
    made = ours.noised(made_batch(range(8)))
    ratio = ours.schedule.alphas_bar[made.timesteps] / (1 - ours.schedule.alphas_bar[made.timesteps])
    assert torch.allclose(made.weights, ratio.clamp(max=5) / (ratio + 1))
    old = objective({"loss.snr_of": "kohya", "noise.zero_terminal": "on"}, "v").noised(made_batch(range(8)))
    plain = stable_diffusion_schedule().alphas_bar[made.timesteps]
    ratio = plain / (1 - plain)
    assert torch.allclose(old.weights, ratio.clamp(max=5) / (ratio + 1))
    assert torch.equal(old.noisy, made.noisy)


def test_the_loss_is_the_sum_of_shares_times_pictures() -> None:
    ours = objective({"loss.min_snr_gamma": 0.0})
    made = ours.noised(made_batch())
    predicted = made.target + torch.tensor([1.0, 2.0, 3.0]).reshape(-1, 1, 1, 1)
    losses = ours.loss(predicted, made, torch.tensor([0.5, 0.25, 0.0]))
    assert losses.per_picture.tolist() == pytest.approx([1.0, 4.0, 9.0])
    assert losses.total.item() == pytest.approx(0.5 + 1.0)


def test_half_precision_is_compared_in_float32() -> None:
    ours = objective({"loss.min_snr_gamma": 0.0})
    made = ours.noised(made_batch(dtype=torch.float32))
    losses = ours.loss((made.target + 300.0).half(), made, torch.full((3,), 1 / 3))
    # 300 squared is beyond the largest half.
    assert losses.total.dtype == torch.float32
    assert losses.total.item() == pytest.approx(90000.0, rel=1e-3)


def test_the_bases_answer_can_be_learned_instead() -> None:
    changes = {"loss.min_snr_gamma": 0.0, "concepts": [{"folder": "a", "target": "base"}]}
    ours, batch = objective(changes), made_batch()
    made = ours.noised(batch)
    answer = torch.ones_like(made.target)
    assert ours.prior.asked(batch.plan.visits, made.masks) == [0, 1, 2]
    asked = ours.with_base(made, batch.plan.visits, answer, [0, 1, 2])
    assert ours.loss(answer, asked, torch.ones(3)).total == 0
    assert ours.loss(answer, made, torch.ones(3)).total > 0


def test_outside_the_mask_the_base_is_learned() -> None:
    changes = {"loss.min_snr_gamma": 0.0, "pictures.masks": True, "loss.outside_base": 0.5}
    ours, masks = objective(changes), made_masks(3)
    masks[2] = 1.0
    batch = made_batch(masks=masks)
    made, visits = ours.noised(batch), batch.plan.visits
    assert ours.prior.asked(visits, made.masks) == [0, 1]
    answers = made.target[:2] + 3.0
    asked = ours.with_base(made, visits, answers, [0, 1])
    # One off from what is learned inside, two off from what the base answers.
    found = ours.loss(made.target + 1.0, asked, torch.ones(3))
    assert found.per_picture.tolist() == pytest.approx([1.0 + 0.5 * 4.0, 1.0 + 0.5 * 4.0, 1.0])
    over_picture = objective({**changes, "loss.mask_average": "picture"})
    share = masks.mean((1, 2, 3))
    found = over_picture.loss(made.target + 1.0, asked, torch.ones(3))
    expected = (share + 0.5 * 4.0 * (1.0 - share)).tolist()
    assert found.per_picture.tolist() == pytest.approx(expected)


def test_masks_are_left_aside_in_their_share_of_visits() -> None:
    masks = made_masks(3)
    assert torch.equal(objective().noised(made_batch(masks=masks)).masks, masks)
    always = objective({"pictures.masks": True, "loss.unmasked": 1.0})
    assert always.noised(made_batch(masks=masks)).masks.eq(1).all()
    half = objective({"pictures.masks": True, "loss.unmasked": 0.5})
    aside = [
        bool(half.noised(made_batch(masks=masks, visit=visit)).masks[0].eq(1).all()) for visit in range(60)
    ]
    assert 18 <= sum(aside) <= 42
    assert half.noised(made_batch()).masks is None


def test_a_picture_under_a_black_mask_teaches_nothing() -> None:
    masks = made_masks(3)
    masks[1] = 0
    ours = objective({"pictures.masks": True})
    made = ours.noised(made_batch(masks=masks))
    losses = ours.loss(torch.zeros_like(made.target), made, torch.ones(3))
    assert losses.per_picture[1] == 0
    assert (losses.per_picture[[0, 2]] > 0).all()


def test_measuring_has_the_same_noise_at_every_level_and_visit() -> None:
    ours = objective(ALL_NOISES)
    low, high = ours.noised_at(made_batch(), 200, 5), ours.noised_at(made_batch(visit=9), 800, 5)
    assert low.timesteps.tolist() == [200] * 3
    assert torch.equal(low.target, high.target)
    assert torch.equal(low.target[0], Draw(5, "measured noise", "a00000").normal_tensor((4, 8, 8)).double())
    assert not torch.equal(low.target, ours.noised_at(made_batch(), 200, 6).target)
    assert torch.equal(ours.noised_at(made_batch((1,)), 200, 5).noisy, low.noisy[1:2])
    alpha_bar = stable_diffusion_schedule().alphas_bar[800]
    expected = alpha_bar.sqrt() * made_batch().latents + (1 - alpha_bar).sqrt() * high.target
    assert torch.allclose(high.noisy, expected)


def test_measuring_never_leaves_masks_aside() -> None:
    masks = made_masks(3)
    ours = objective({"pictures.masks": True, "loss.unmasked": 1.0})
    assert torch.equal(ours.noised_at(made_batch(masks=masks), 200, 5).masks, masks)


def test_nothing_is_lost_on_the_way_to_a_device() -> None:
    made = objective({"loss.kind": "huber"}).noised(made_batch(masks=made_masks(3)))
    moved = made.to("cpu")
    for name in ("noisy", "target", "timesteps", "weights", "masks", "huber_c"):
        assert torch.equal(getattr(moved, name), getattr(made, name))
