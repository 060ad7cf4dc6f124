"""One micro-batch through the model.

B: pictures, C: channels, H, W: latent size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.encode import TextStates
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.training.objective.noised import Losses, Noised
from lib_dreambooth.training.objective.objective import Objective

# The states of captions, with the encoders as they are now.
StatesOf = Callable[[Sequence[str]], TextStates]


def micro_step(
    model: LoadedModel,
    objective: Objective,
    batch: Batch,
    text_states: TextStates | StatesOf,
    *,
    autocast_dtype: torch.dtype | None = None,
    noised: Noised | None = None,
) -> Losses:
    """The loss of a micro-batch; its gradient is not taken yet.

    Captions are encoded here where `text_states` says how. `noised` is what `objective` made of the batch, if
    that was done ahead.
    """
    device = model.device_of(UNET)
    made = (objective.noised(batch) if noised is None else noised).to(device)
    with autocast(device, autocast_dtype):
        states = text_states(batch.captions) if callable(text_states) else text_states
        predicted = predict(model, made, states, batch.size_ids, is_cast=autocast_dtype is not None)
    return objective.loss(predicted, made, batch.shares.to(device))


def predict(
    model: LoadedModel, made: Noised, states: TextStates, size_ids: Tensor, *, is_cast: bool = False
) -> Tensor:
    """The UNet's answer [B, C, H, W]; inputs take its precision unless autocast sees to that (`is_cast`)."""
    device = model.device_of(UNET)
    dtype = None if is_cast else model.dtype_of(UNET)
    conditions = {}
    if states.pooled is not None:
        pooled = states.pooled.to(device, dtype)
        conditions = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": size_ids.to(device)}}
    answer = model.unet(
        made.noisy.to(device, dtype), made.timesteps, states.joined().to(device, dtype), **conditions
    )
    predicted: Tensor = answer.sample
    return predicted


def autocast(
    device: torch.device, dtype: torch.dtype | None
) -> torch.autocast | contextlib.nullcontext[None]:
    """Mixed precision in `dtype`, or none."""
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)
