"""Which of kohya's scripts a config is for, and which options each of them reads."""

from __future__ import annotations

import math

from lib_dreambooth.settings.recipes.sheet import Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, wholes

LORA, WHOLE, SDXL, WORDS = "lora", "whole", "sdxl", "words"
SCRIPT_NAMES = {
    LORA: "train_network.py or sdxl_train_network.py",
    WHOLE: "train_db.py",
    SDXL: "sdxl_train.py",
    WORDS: "train_textual_inversion.py",
}
# Keys that tell the script, the first that has a value decides.
SIGNS = {
    "network_module": LORA,
    "token_string": WORDS,
    "network_dim": LORA,
    "network_args": LORA,
    "block_lr": SDXL,
    "learning_rate_te1": SDXL,
    "learning_rate_te2": SDXL,
    "train_text_encoder": SDXL,
    "fused_backward_pass": SDXL,
    "fused_optimizer_groups": SDXL,
    "diffusers_xformers": SDXL,
    "learning_rate_te": WHOLE,
    "no_token_padding": WHOLE,
    "stop_text_encoder_training": WHOLE,
    "network_alpha": LORA,
    "unet_lr": LORA,
    "text_encoder_lr": LORA,
    "init_word": WORDS,
}
# SDXL was made for 1024 x 1024; near that area a whole model without other signs is taken for it.
SDXL_AREA = 900 * 900
TOO_SMALL_FOR_SDXL = 700 * 700

# Options that only some scripts read; all others are read by every script.
READ_BY = {
    "use_safetensors": (WHOLE, SDXL),
    "initial_epoch": (LORA,),
    "initial_step": (LORA,),
    "skip_until_initial_step": (LORA,),
    "no_metadata": (LORA,),
    "training_comment": (LORA,),
    "full_bf16": (LORA, SDXL, WORDS),
    "fp8_base": (LORA,),
    "fp8_base_unet": (LORA,),
    "cpu_offload_checkpointing": (LORA,),
    "diffusers_xformers": (SDXL,),
    "cache_text_encoder_outputs": (LORA, SDXL),
    "cache_text_encoder_outputs_to_disk": (LORA, SDXL),
    "fused_backward_pass": (SDXL,),
    "fused_optimizer_groups": (SDXL,),
    "unet_lr": (LORA,),
    "text_encoder_lr": (LORA,),
    "learning_rate_te": (WHOLE,),
    "learning_rate_te1": (SDXL,),
    "learning_rate_te2": (SDXL,),
    "block_lr": (SDXL,),
    "train_text_encoder": (SDXL,),
    "stop_text_encoder_training": (WHOLE,),
    "no_token_padding": (WHOLE,),
    "network_module": (LORA,),
    "network_dim": (LORA,),
    "network_alpha": (LORA,),
    "network_dropout": (LORA,),
    "network_args": (LORA,),
    "network_weights": (LORA,),
    "dim_from_weights": (LORA,),
    "network_train_unet_only": (LORA,),
    "network_train_text_encoder_only": (LORA,),
    "scale_weight_norms": (LORA,),
    "base_weights": (LORA,),
    "base_weights_multiplier": (LORA,),
    "weighted_captions": (LORA, WHOLE, SDXL),
    "token_string": (WORDS,),
    "init_word": (WORDS,),
    "num_vectors_per_token": (WORDS,),
    "weights": (WORDS,),
    "use_object_template": (WORDS,),
    "use_style_template": (WORDS,),
    "prior_loss_weight": (LORA, WHOLE, WORDS),
    "validation_split": (LORA,),
    "validation_seed": (LORA,),
    "validate_every_n_steps": (LORA,),
    "validate_every_n_epochs": (LORA,),
    "max_validation_steps": (LORA,),
    "in_json": (LORA, SDXL, WORDS),
    "dataset_repeats": (LORA, SDXL, WORDS),
    "caption_dropout_rate": (LORA, WHOLE, SDXL),
    "caption_dropout_every_n_epochs": (LORA, WHOLE, SDXL),
    "caption_tag_dropout_rate": (LORA, WHOLE, SDXL),
}


def guess_script(sheet: Sheet) -> tuple[str, str]:
    """The script a config is for, and how that is seen."""
    for name, script in SIGNS.items():
        if sheet.given(name) or any(known.startswith(f"{name}.") for known in sheet.entries):
            return script, f"{name} is given"
    if sheet.is_on("sdxl") or area(sheet) >= SDXL_AREA:
        return SDXL, "no network is named, and the resolution is that of SDXL"
    return WHOLE, "no network is named"


def area(sheet: Sheet) -> int:
    """The training resolution in pixels, 0 where it is not given."""
    try:
        sides = wholes(sheet.get("resolution", []))
    except Unreadable:
        return 0
    return math.prod((sides[0], sides[-1])) if sides else 0


def is_sdxl(sheet: Sheet) -> bool | None:
    """Whether the base is an SDXL model, None where the recipe does not tell."""
    if sheet.script == SDXL or sheet.is_on("sdxl") or sheet.is_on("cache_text_encoder_outputs"):
        return True
    if sheet.is_on("v2") or sheet.script == WHOLE or 0 < area(sheet) < TOO_SMALL_FOR_SDXL:
        return False
    return None


def reads(script: str, name: str) -> bool:
    """Whether a script reads an option."""
    return script in READ_BY.get(name.partition(".")[0], (script,))
