"""Batches without files: latents, captions and masks that follow from numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth import settings
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.order.batches import MicroBatch, Visit
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.diffusion.schedule import stable_diffusion_schedule
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.models.loaded import LoadedModel, Source
from lib_dreambooth.settings.schema import Run
from tests.data.made_items import made_item

CAPTIONS = ("a red circle", "zwx on a blue background", "", "two squares, flat colours")


def made_run(changes: dict[str, object] | None = None) -> Run:
    """The default settings with a seed and some changes."""
    return settings.replace(settings.defaults().run, {"draws.seed": 7, **(changes or {})})


def made_batch(
    numbers: Sequence[int] = (0, 1, 2),
    visit: int = 0,
    *,
    latent_hw: tuple[int, int] = (8, 8),
    dtype: torch.dtype = torch.float64,
    masks: Tensor | None = None,
    shares: Sequence[float] | None = None,
) -> Batch:
    """A micro-batch of the items with these numbers, each in the same visit."""
    shares = [1 / len(numbers)] * len(numbers) if shares is None else shares
    visits = tuple(
        Visit(made_item(number), visit, share) for number, share in zip(numbers, shares, strict=True)
    )
    latents = [Draw(1, "made latent", number).normal_tensor((4, *latent_hw)) + 0.3 for number in numbers]
    height, width = (8 * side for side in latent_hw)
    return Batch(
        MicroBatch(0, 0, (width, height), visits),
        tuple(CAPTIONS[number % len(CAPTIONS)] for number in numbers),
        torch.tensor(shares, dtype=torch.float32),
        torch.tensor([[height + number, width, 0, number, height, width] for number in numbers]).float(),
        torch.stack(latents).to(dtype),
        masks=masks,
    )


def made_masks(count: int, latent_hw: tuple[int, int] = (8, 8)) -> Tensor:
    """Masks whose left part is white, wider from picture to picture, with a grey edge."""
    masks = torch.zeros(count, 1, *latent_hw)
    for number in range(count):
        edge = 2 + number % (latent_hw[1] - 2)
        masks[number, :, :, :edge] = 1.0
        masks[number, :, :, edge] = 0.5
    return masks


def bare_model(prediction: str = "epsilon", *, is_zero_terminal: bool = False) -> LoadedModel:
    """A model of which only the schedule and the prediction are known."""
    schedule = stable_diffusion_schedule(is_zero_terminal=is_zero_terminal)
    return LoadedModel(FAMILIES["sd1"], schedule, prediction, Source(Path("none"), FileKind("checkpoint")))
