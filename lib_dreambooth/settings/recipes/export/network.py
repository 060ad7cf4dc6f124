"""Rows for the network."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.recipes.export.row import Context, Row, made, row

LYCORIS = "lycoris.kohya"
ALGORITHMS = {
    "lora": "lora",
    "loha": "loha",
    "lokr": "lokr",
    "ia3": "ia3",
    "glora": "glora",
    "oft": "diag-oft",
    "full": "full",
}


def needs_lycoris(context: Context) -> bool:
    """Whether kohya's own LoRA module cannot make the network."""
    network = context.run.network
    own = network.kind == "lora" and network.targets == "all"
    return not own or network.decompose or network.train_norms or network.rank_stabilised


def module(context: Context) -> str:
    """network_module."""
    return LYCORIS if needs_lycoris(context) else "networks.lora"


def network_args(context: Context) -> list[str] | None:
    """network_args, all of them texts."""
    found = lycoris_args(context) if needs_lycoris(context) else lora_args(context)
    return [f"{name}={value}" for name, value in found.items()] or None


def shared_args(context: Context) -> dict[str, str]:
    """Arguments that both modules have."""
    network = context.run.network
    named: dict[str, Any] = {}
    if network.conv_rank:
        named |= {"conv_dim": network.conv_rank, "conv_alpha": network.conv_alpha or network.conv_rank}
    chances = ("rank_dropout", "module_dropout")
    named |= {name: getattr(network, name) for name in chances if getattr(network, name)}
    ratios = {
        "loraplus_lr_ratio": network.plus_ratio if network.plus_ratio != 1 else 0,
        "loraplus_unet_lr_ratio": network.plus_ratio_unet,
        "loraplus_text_encoder_lr_ratio": network.plus_ratio_text,
    }
    named |= {name: ratio for name, ratio in ratios.items() if ratio}
    return {name: f"{value:g}" for name, value in named.items()}


def lora_args(context: Context) -> dict[str, str]:
    """Arguments of kohya's own LoRA."""
    network = context.run.network
    found = shared_args(context)
    lists = {
        "block_dims": network.block_ranks,
        "block_alphas": network.block_alphas,
        "conv_block_dims": network.block_conv_ranks,
        "conv_block_alphas": network.block_conv_alphas,
        **block_weights(context.run.parts.unet.block_rates),
    }
    return found | {
        name: ",".join(f"{value:g}" for value in values) for name, values in lists.items() if values
    }


def block_weights(rates: tuple[float, ...]) -> dict[str, tuple[float, ...]]:
    """Factors for blocks as three lists; SDXL's first and last block take none."""
    if len(rates) == 25:
        return {"down_lr_weight": rates[:12], "mid_lr_weight": rates[12:13], "up_lr_weight": rates[13:]}
    if len(rates) == 23:
        return {"down_lr_weight": rates[1:10], "mid_lr_weight": rates[10:13], "up_lr_weight": rates[13:22]}
    return {}


def lycoris_args(context: Context) -> dict[str, str]:
    """Arguments of LyCORIS."""
    network = context.run.network
    found = {"algo": ALGORITHMS[network.kind], "preset": preset(context), **shared_args(context)}
    switches = {
        "dora_wd": network.decompose,
        "train_norm": network.train_norms,
        "rs_lora": network.rank_stabilised,
        "decompose_both": network.decompose_both,
        "use_tucker": network.tucker,
        "use_scalar": network.scalar,
        "rescaled": network.rescaled,
    }
    found |= {name: "True" for name, on in switches.items() if on}
    if network.kind == "lokr" and network.factor != -1:
        found["factor"] = str(network.factor)
    if network.constraint:
        found["constraint"] = f"{network.constraint:g}"
    return found


def preset(context: Context) -> str:
    """LyCORIS' choice of layers."""
    network = context.run.network
    if network.targets == "all":
        return "full" if network.conv_rank else "attn-mlp"
    if network.targets == "cross":
        context.say("LyCORIS has no choice of cross-attention alone; all of attention is taken.")
    return "attn-only"


def unet_only(context: Context) -> bool | None:
    """network_train_unet_only."""
    parts = context.run.parts
    with_text = parts.text_encoder_1.train or (context.is_sdxl and parts.text_encoder_2.train)
    return None if with_text else True


def text_only(context: Context) -> bool | None:
    """network_train_text_encoder_only."""
    return None if context.run.parts.unet.train else True


NETWORKING: tuple[Row, ...] = (
    made("network_module", "network.kind network.targets", module),
    row("network_dim", "network.rank"),
    row("network_alpha", "network.alpha"),
    row("network_dropout", "network.dropout", unless=0.0),
    made(
        "network_args",
        "network.conv_rank network.conv_alpha network.rank_dropout network.module_dropout network.plus_ratio"
        " network.plus_ratio_unet network.plus_ratio_text network.block_ranks network.block_alphas"
        " network.block_conv_ranks network.block_conv_alphas parts.unet.block_rates network.decompose"
        " network.train_norms network.rank_stabilised network.decompose_both network.tucker network.scalar"
        " network.rescaled network.factor network.constraint",
        network_args,
    ),
    row("network_weights", "network.start_from"),
    made(
        "dim_from_weights",
        "network.ranks_from_file",
        lambda context: (
            True if context.run.network.start_from and context.run.network.ranks_from_file else None
        ),
    ),
    made("network_train_unet_only", "parts.text_encoder_1.train parts.text_encoder_2.train", unet_only),
    made("network_train_text_encoder_only", "parts.unet.train", text_only),
    row("scale_weight_norms", "network.max_norm", unless=0.0),
)
