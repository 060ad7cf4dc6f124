"""What a run teaches: from a batch to noisy latents, and from the model's answer to a loss.

B: pictures, C: channels, H, W: latent size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.order.batches import Visit
from lib_dreambooth.diffusion.conversions import add_noise
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.diffusion.losses import errors
from lib_dreambooth.diffusion.masking import picture_means
from lib_dreambooth.diffusion.targets import target_of
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.objective.noised import Losses, Noised
from lib_dreambooth.training.objective.noising import Noising
from lib_dreambooth.training.objective.prior import Prior
from lib_dreambooth.training.objective.weighing import (
    level_huber,
    level_weights,
    trained_prediction,
    trained_schedule,
)


class Objective:
    """The mathematics of a run's steps; holds nothing that changes, so any thread may ask it ahead."""

    def __init__(self, run: Run, model: LoadedModel) -> None:
        assert run.draws.seed >= 0, "the seed is decided before anything is drawn"
        self.prediction = trained_prediction(run.model.prediction, model.prediction)
        self.schedule = trained_schedule(run.noise.zero_terminal, model.schedule)
        self.loss_settings = run.loss
        self.prior = Prior.of(run)
        self.noising = Noising(run.noise, run.draws.seed)
        # By timestep.
        self.weights = level_weights(run.loss, self.prediction, self.schedule)
        self.huber = level_huber(run.loss, self.schedule)

    def noised(self, batch: Batch) -> Noised:
        """The batch with the noise of its visits, on the CPU."""
        latents, visits = latents_of(batch), batch.plan.visits
        noises = self.noising.noises(visits, latents)
        mixed = self.noising.perturbed(visits, noises)
        masks = self._masks(visits, batch.masks)
        return self._made(latents, noises, mixed, self.noising.timesteps(visits), masks)

    def noised_at(self, batch: Batch, timestep: int, seed: int) -> Noised:
        """The batch at one noise level, each picture with its own plain noise that never changes."""
        latents, visits = latents_of(batch), batch.plan.visits
        drawn = [
            Draw(seed, "measured noise", visit.item.id).normal_tensor(latents.shape[1:]) for visit in visits
        ]
        noises = torch.stack(drawn).to(latents)
        timesteps = torch.full((len(visits),), timestep)
        return self._made(latents, noises, noises, timesteps, batch.masks)

    def with_base(self, noised: Noised, visits: Sequence[Visit], answers: Tensor, rows: list[int]) -> Noised:
        """The batch with the untouched model's answers [len(rows), C, H, W] for some of its rows."""
        base = torch.zeros(noised.target.shape, dtype=answers.dtype, device=answers.device)
        base[rows] = answers
        return replace(noised, base=base, is_prior=self.prior.replaced(visits))

    def loss(self, predicted: Tensor, noised: Noised, shares: Tensor) -> Losses:
        """The sum over pictures of share times loss, in float32 at least; all on one device."""
        settings = self.loss_settings
        predicted = at_least_float32(predicted)
        means = picture_means(
            self._errors(predicted, noised.learned, noised),
            noised.masks,
            outside=settings.outside_mask,
            over_picture=settings.mask_average == "picture",
        )
        if settings.outside_base > 0 and noised.masks is not None and noised.base is not None:
            means = means + settings.outside_base * picture_means(
                self._errors(predicted, noised.base, noised),
                1.0 - noised.masks,
                over_picture=settings.mask_average == "picture",
            )
        per_picture = means * noised.weights.to(means)
        return Losses((per_picture * shares.to(means)).sum(), per_picture.detach())

    def _errors(self, predicted: Tensor, wanted: Tensor, noised: Noised) -> Tensor:
        return errors(self.loss_settings.kind, predicted, at_least_float32(wanted), noised.huber_c)

    def _made(
        self, latents: Tensor, noises: Tensor, mixed: Tensor, timesteps: Tensor, masks: Tensor | None
    ) -> Noised:
        alphas_bar = self.schedule.alphas_bar[timesteps]
        return Noised(
            noisy=add_noise(latents, mixed, alphas_bar),
            target=target_of(self.prediction, latents, noises, alphas_bar),
            timesteps=timesteps,
            weights=self.weights[timesteps],
            masks=masks,
            huber_c=None if self.huber is None else self.huber[timesteps],
        )

    def _masks(self, visits: Sequence[Visit], masks: Tensor | None) -> Tensor | None:
        """The masks, all ones in the visits that leave theirs aside."""
        share = self.loss_settings.unmasked
        if masks is None or share == 0:
            return masks
        aside = [self.noising.draw("unmasked", visit).uniform() < share for visit in visits]
        return torch.where(torch.tensor(aside)[:, None, None, None], torch.ones_like(masks), masks)


def latents_of(batch: Batch) -> Tensor:
    """The latents of a batch whose pictures were encoded."""
    assert batch.latents is not None, "pictures are encoded before they get noise"
    return batch.latents


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32, or in float64 where they have it."""
    return values if values.dtype == torch.float64 else values.float()
