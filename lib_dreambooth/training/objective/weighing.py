"""How much each noise level counts, and how its errors are bent.

T: timesteps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_dreambooth.diffusion.losses import HUBER_KINDS, huber_parameters
from lib_dreambooth.diffusion.schedule import NoiseSchedule, snr, stable_diffusion_schedule
from lib_dreambooth.diffusion.targets import NOISE, SAMPLE, VELOCITY
from lib_dreambooth.diffusion.weightings import debiased, min_snr, scaled_like_noise, velocity_like
from lib_dreambooth.settings.schema import Loss

PREDICTIONS = {"noise": NOISE, "velocity": VELOCITY, "sample": SAMPLE}


def trained_prediction(setting: str, of_model: str) -> str:
    """What the network is taught to predict, one of `targets.PREDICTIONS`; "auto" is what the model says."""
    return of_model if setting == "auto" else PREDICTIONS[setting]


def trained_schedule(zero_terminal: str, of_model: NoiseSchedule) -> NoiseSchedule:
    """The noise schedule that is trained on; "auto" is the model's."""
    if zero_terminal == "auto":
        return of_model
    return of_model.rescaled() if zero_terminal == "on" else stable_diffusion_schedule()


def level_weights(loss: Loss, prediction: str, schedule: NoiseSchedule) -> Tensor:
    """The factor on a picture's loss at each timestep, [T], float64."""
    of = stable_diffusion_schedule() if loss.snr_of == "kohya" else schedule
    ratios = snr(of.alphas_bar)
    weights = torch.ones_like(ratios)
    if loss.min_snr_gamma > 0:
        weights = weights * min_snr(ratios, loss.min_snr_gamma, prediction)
    if loss.scale_v_pred and prediction == VELOCITY:
        weights = weights * scaled_like_noise(ratios)
    if loss.v_pred_like > 0:
        weights = weights * velocity_like(ratios, loss.v_pred_like, prediction)
    if loss.debiased:
        weights = weights * debiased(ratios, prediction)
    return weights


def level_huber(loss: Loss, schedule: NoiseSchedule) -> Tensor | None:
    """The Huber parameter at each timestep, [T], float64; None for other kinds of loss."""
    if loss.kind not in HUBER_KINDS:
        return None
    return huber_parameters(loss.huber_schedule, loss.huber_c, loss.huber_scale, schedule.alphas_bar)
