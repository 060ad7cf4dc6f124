"""Rows for the optimizer, rates, parts and the network."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.recipes.export.row import Context, Row, flag, in_steps, made, row, share
from lib_dreambooth.settings.recipes.kohya.optimizers import OPTIMIZERS
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WHOLE, WORDS

# Names that kohya's scripts know; others are given as a class of the package that they come from.
KNOWN = {known.name for name, known in OPTIMIZERS.items() if name not in ("came", "adammini", "sgd")}
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
SCHEDULES = {"rex": "cosine", "one_cycle": "cosine"}


def optimizer(context: Context) -> str:
    """optimizer_type."""
    name = context.run.optimizer.name
    if is_nesterov(context):
        return "SGDNesterov" if name == "SGD" else "SGDNesterov8bit"
    return name if name in KNOWN else f"pytorch_optimizer.{name}"


def is_nesterov(context: Context) -> bool:
    """Whether it is plain descent with Nesterov's momentum."""
    own = context.run.optimizer
    return own.name in ("SGD", "SGD8bit") and own.arguments.get("nesterov") is True


def arguments(context: Context) -> list[str]:
    """optimizer_args, as Python literals."""
    own = dict(context.run.optimizer.arguments)
    if is_nesterov(context):
        own.pop("nesterov")
    return [
        f"weight_decay={context.run.optimizer.weight_decay!r}",
        *(f"{name}={literal(value)}" for name, value in own.items()),
    ]


def literal(value: Any) -> str:
    """A value that Python reads back; lists without spaces, since some tools split at them."""
    if isinstance(value, (list, tuple)):
        inner = ",".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def schedule(context: Context) -> str:
    """lr_scheduler."""
    rates = context.run.rates
    if rates.schedule == "constant" and not rates.warmup.is_never:
        return "constant_with_warmup"
    if rates.schedule == "cosine" and rates.floor:
        return "cosine_with_min_lr"
    if rates.schedule in SCHEDULES:
        context.say(
            f"kohya's scripts have no {rates.schedule}; {SCHEDULES[rates.schedule]} stands in its place."
        )
    return SCHEDULES.get(rates.schedule, rates.schedule)


def length_of(path: str) -> Any:
    """A warm-up or decay: whole numbers are steps, a number with a point is a share of the run."""

    def value(context: Context) -> int | float | None:
        duration = context.at(path)
        if duration.is_never or duration.is_word:
            return None
        steps = in_steps(context, duration)
        if steps is not None:
            return steps
        part = share(context, duration)
        if part is None:
            context.say(f"{path} = {duration} cannot be told in steps and was left out.")
        return part

    return value


def decay(context: Context) -> int | float | None:
    """lr_decay_steps, which only one schedule asks for."""
    return length_of("rates.decay")(context) if context.run.rates.schedule == "warmup_stable_decay" else None


def timescale(context: Context) -> int | None:
    """lr_scheduler_timescale."""
    return (
        in_steps(context, context.run.rates.timescale)
        if context.run.rates.schedule == "inverse_sqrt"
        else None
    )


def restarts(context: Context) -> int | None:
    """lr_scheduler_num_cycles."""
    rates = context.run.rates
    return rates.restarts if rates.schedule == "cosine_with_restarts" and rates.restarts > 1 else None


def power(context: Context) -> float | None:
    """lr_scheduler_power."""
    rates = context.run.rates
    return rates.power if rates.schedule == "polynomial" and rates.power != 1 else None


def floor(context: Context) -> float | None:
    """lr_scheduler_min_lr_ratio."""
    rates = context.run.rates
    return rates.floor if rates.floor and rates.schedule in ("cosine", "warmup_stable_decay") else None


def pieces(context: Context) -> list[str] | None:
    """lr_scheduler_args."""
    rates = context.run.rates
    return [f"step_rules={rates.pieces}"] if rates.schedule == "piecewise_constant" else None


def scaled(context: Context, rate: float) -> float:
    """A rate with what "Scale Learning Rate" makes of it."""
    if not context.run.rates.scale:
        return rate
    context.say("kohya's scripts do not scale rates; what the scale makes of them is written.")
    return rate * context.run.length.batch_size * context.run.length.accumulation


def part_rate(part: str) -> Any:
    """The own rate of a part; 0 where a whole part stays as it is."""

    def value(context: Context) -> float | None:
        own = getattr(context.run.parts, part)
        if not own.train:
            return 0.0 if context.script == SDXL else None
        return scaled(context, own.rate) if own.rate else None

    return value


def main_rate(context: Context) -> float:
    """learning_rate; sdxl_train takes 0 as leaving the UNet as it is."""
    parts = context.run.parts
    if context.script == SDXL and not parts.unet.train:
        return 0.0
    own = parts.unet.rate if context.script in (SDXL, WHOLE) else 0
    if context.script == WORDS:
        own = parts.words.rate
    return scaled(context, own or context.run.rates.learning_rate)


def text_rates(context: Context) -> float | list[float] | None:
    """text_encoder_lr: one rate, or two for SDXL."""
    parts = context.run.parts
    base = context.run.rates.learning_rate
    first = (parts.text_encoder_1.rate or base) if parts.text_encoder_1.train else 0.0
    second = (parts.text_encoder_2.rate or base) if parts.text_encoder_2.train else 0.0
    if not parts.text_encoder_1.train and not parts.text_encoder_2.train:
        return None
    if context.is_sdxl and first != second:
        context.say("kohya's LoRA gives the first text encoder's rate to both of SDXL.")
        return [scaled(context, first), scaled(context, second)]
    return scaled(context, first) if parts.text_encoder_1.rate else None


def unet_only(context: Context) -> bool | None:
    """network_train_unet_only."""
    parts = context.run.parts
    with_text = parts.text_encoder_1.train or (context.is_sdxl and parts.text_encoder_2.train)
    return None if with_text else True


def text_only(context: Context) -> bool | None:
    """network_train_text_encoder_only."""
    return None if context.run.parts.unet.train else True


def trains_text(context: Context) -> bool | None:
    """train_text_encoder of sdxl_train."""
    parts = context.run.parts
    return True if parts.text_encoder_1.train or parts.text_encoder_2.train else None


def text_stop(context: Context) -> int | None:
    """stop_text_encoder_training of train_db; -1 is never."""
    part = context.run.parts.text_encoder_1
    if not part.train:
        return -1
    if part.stop.unit == "percent" and part.stop.amount >= 100:
        return None
    return in_steps(context, part.stop)


def block_rates(context: Context) -> str | None:
    """block_lr of sdxl_train, as rates."""
    base = main_rate(context)
    rates = [f"{factor * base:.6g}" for factor in context.run.parts.unet.block_rates]
    return ",".join(rates) if len(rates) == 23 else None


OPTIMIZING: tuple[Row, ...] = (
    made("optimizer_type", "optimizer.name", optimizer),
    made("optimizer_args", "optimizer.weight_decay optimizer.arguments", arguments),
    row("max_grad_norm", "optimizer.max_grad_norm", unless=1.0),
    made(
        "learning_rate",
        "rates.learning_rate rates.scale parts.unet.rate parts.words.rate parts.unet.train",
        main_rate,
    ),
    made("unet_lr", "parts.unet.rate", part_rate("unet"), scripts=(LORA,)),
    made(
        "text_encoder_lr", "parts.text_encoder_1.rate parts.text_encoder_2.rate", text_rates, scripts=(LORA,)
    ),
    made("learning_rate_te", "parts.text_encoder_1.rate", part_rate("text_encoder_1"), scripts=(WHOLE,)),
    made("learning_rate_te1", "parts.text_encoder_1.rate", part_rate("text_encoder_1"), scripts=(SDXL,)),
    made("learning_rate_te2", "parts.text_encoder_2.rate", part_rate("text_encoder_2"), scripts=(SDXL,)),
    made(
        "train_text_encoder",
        "parts.text_encoder_1.train parts.text_encoder_2.train",
        trains_text,
        scripts=(SDXL,),
    ),
    made(
        "stop_text_encoder_training",
        "parts.text_encoder_1.stop parts.text_encoder_1.train",
        text_stop,
        scripts=(WHOLE,),
    ),
    made("block_lr", "parts.unet.block_rates", block_rates, scripts=(SDXL,)),
    flag("no_token_padding", "captions.pad", False, scripts=(WHOLE,)),
    made("lr_scheduler", "rates.schedule", schedule),
    made("lr_warmup_steps", "rates.warmup", length_of("rates.warmup")),
    made("lr_decay_steps", "rates.decay", decay),
    made("lr_scheduler_num_cycles", "rates.restarts", restarts),
    made("lr_scheduler_power", "rates.power", power),
    made("lr_scheduler_timescale", "rates.timescale", timescale),
    made("lr_scheduler_min_lr_ratio", "rates.floor", floor),
    made("lr_scheduler_args", "rates.pieces", pieces),
)


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
