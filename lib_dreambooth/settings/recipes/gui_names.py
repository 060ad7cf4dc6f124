"""Keys of the kohya_ss GUI: their names in kohya's scripts, and which network type asks which."""

from __future__ import annotations

from dataclasses import dataclass

from lib_dreambooth.settings.recipes.kohya.network import LYCORIS

RENAMES = {
    "optimizer": "optimizer_type",
    "max_resolution": "resolution",
    "sdxl_checkbox": "sdxl",
    "template": "gui.template",
    "epoch": "gui.epoch",
    "lr_warmup": "gui.lr_warmup",
    "max_train_steps": "gui.max_train_steps",
    "xformers": "gui.xformers",
    "LoRA_type": "gui.LoRA_type",
    "LyCORIS_preset": "preset",
    "lora_network_weights": "network_weights",
    "sample_prompts": "gui.sample_prompts",
    "stop_text_encoder_training": "gui.stop_text_encoder_training",
    "stop_text_encoder_training_pct": "gui.stop_text_encoder_training",
    "sdxl_no_half_vae": "gui.sdxl_no_half_vae",
    "sdxl_cache_text_encoder_outputs": "gui.sdxl_cache_text_encoder_outputs",
    "learning_rate_te": "gui.learning_rate_te",
    "learning_rate_te1": "gui.learning_rate_te1",
    "learning_rate_te2": "gui.learning_rate_te2",
}
BLOCK_KEYS = (
    "block_dims",
    "block_alphas",
    "conv_block_dims",
    "conv_block_alphas",
    "down_lr_weight",
    "mid_lr_weight",
    "up_lr_weight",
    "block_lr_zero_threshold",
)
PLUS_KEYS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
DROP_KEYS = ("rank_dropout", "module_dropout")
CONV_KEYS = ("conv_dim", "conv_alpha")
LYCORIS_KEYS = (
    "LyCORIS_preset",
    "rank_dropout_scale",
    "factor",
    "use_cp",
    "use_tucker",
    "use_scalar",
    "decompose_both",
    "train_on_input",
    "train_norm",
    "dora_wd",
    "bypass_mode",
    "constrain",
    "rescaled",
    "unit",
)
NETWORK_KEYS = frozenset((*BLOCK_KEYS, *PLUS_KEYS, *DROP_KEYS, *CONV_KEYS, *LYCORIS_KEYS))


@dataclass(frozen=True)
class NetworkType:
    """One choice of the GUI: kohya's module, LyCORIS' algorithm, the widgets that it asks."""

    module: str
    algorithm: str
    keys: frozenset[str]


PLAIN = frozenset((*BLOCK_KEYS, *PLUS_KEYS, *DROP_KEYS))
WITH_CONV = PLAIN | frozenset(CONV_KEYS)
ALL_LYCORIS = frozenset((*PLUS_KEYS, *DROP_KEYS, *CONV_KEYS, *LYCORIS_KEYS))


def lycoris(algorithm: str) -> NetworkType:
    """A type made by LyCORIS."""
    return NetworkType(LYCORIS, algorithm, ALL_LYCORIS)


NETWORK_TYPES = {
    "Standard": NetworkType("networks.lora", "", PLAIN),
    "Kohya LoCon": NetworkType("networks.lora", "", WITH_CONV),
    "LoRA-FA": NetworkType("networks.lora_fa", "", WITH_CONV),
    "Kohya DyLoRA": NetworkType("networks.dylora", "", WITH_CONV | {"unit"}),
    "Kohya LoHa": NetworkType("networks.loha", "", WITH_CONV | {"use_tucker"}),
    "Kohya LoKr": NetworkType("networks.lokr", "", WITH_CONV | {"use_tucker", "factor"}),
    "LyCORIS/LoCon": lycoris("locon"),
    "LyCORIS/LoHa": lycoris("loha"),
    "LyCORIS/LoKr": lycoris("lokr"),
    "LyCORIS/iA3": lycoris("ia3"),
    "LyCORIS/DyLoRA": lycoris("dylora"),
    "LyCORIS/GLoRA": lycoris("glora"),
    "LyCORIS/BOFT": lycoris("boft"),
    "LyCORIS/Diag-OFT": lycoris("diag-oft"),
    "LyCORIS/Native Fine-Tuning": lycoris("full"),
}
