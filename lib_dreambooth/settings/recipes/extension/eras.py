"""Which form of db_config.json a file has, told by the keys that came and went."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any


class Era(enum.IntEnum):
    """The forms, by the month of their first release."""

    NOV_2022 = 1
    DEC_2022 = 2
    JAN_2023 = 3
    FEB_2023 = 4
    LAST = 5


NAMES = {
    Era.NOV_2022: "November 2022",
    Era.DEC_2022: "December 2022",
    Era.JAN_2023: "January 2023",
    Era.FEB_2023: "February 2023",
    Era.LAST: "March 2023 to 2025",
}
# The first sign that is there decides.
SIGNS: tuple[tuple[Era, tuple[str, ...]], ...] = (
    (
        Era.LAST,
        (
            "noise_scheduler",
            "offset_noise",
            "tomesd",
            "min_snr_gamma",
            "lora_unet_rank",
            "full_mixed_precision",
        ),
    ),
    (
        Era.FEB_2023,
        ("strict_tokens", "prior_loss_scale", "prior_loss_target", "train_unet", "infer_ema", "snapshot"),
    ),
    (
        Era.JAN_2023,
        ("stop_text_encoder", "save_ckpt_during", "save_lora_during", "sanity_prompt", "deterministic"),
    ),
    (
        Era.DEC_2022,
        (
            "save_use_epochs",
            "save_use_global_counts",
            "custom_model_name",
            "use_lora",
            "epoch_pause_frequency",
        ),
    ),
    (Era.NOV_2022, ("instance_prompt", "instance_data_dir", "max_train_steps", "train_batch_size")),
)


def era_of(data: Mapping[str, Any]) -> Era:
    """The form of a file."""
    for era, signs in SIGNS:
        if any(sign in data for sign in signs):
            return era
    return Era.LAST
