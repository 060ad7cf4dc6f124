"""kohya's options for noise, noise levels and the loss."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.rules import Table, flag, flag_on, to
from lib_dreambooth.settings.recipes.turn import lower_text, number, whole

LOSSES: Table = {
    "noise_offset": to("noise.offset", number),
    "noise_offset_random_strength": flag("noise.offset_random"),
    "adaptive_noise_scale": to("noise.offset_adaptive", number),
    "multires_noise_iterations": to("noise.pyramid_levels", whole),
    "multires_noise_discount": to("noise.pyramid_discount", number),
    "ip_noise_gamma": to("noise.perturbation", number),
    "ip_noise_gamma_random_strength": flag("noise.perturbation_random"),
    "zero_terminal_snr": flag_on("noise.zero_terminal", "on"),
    "min_timestep": to("noise.first_timestep", whole),
    "max_timestep": to("noise.last_timestep", whole),
    "loss_type": to("loss.kind", lower_text),
    "huber_schedule": to("loss.huber_schedule", lower_text),
    "huber_c": to("loss.huber_c", number),
    "huber_scale": to("loss.huber_scale", number),
    "min_snr_gamma": to("loss.min_snr_gamma", number),
    "scale_v_pred_loss_like_noise_pred": flag("loss.scale_v_pred"),
    "v_pred_like_loss": to("loss.v_pred_like", number),
    "debiased_estimation_loss": flag("loss.debiased"),
    "prior_loss_weight": to("class_pictures.weight", number),
    "masked_loss": flag("pictures.masks"),
}
