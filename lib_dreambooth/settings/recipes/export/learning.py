"""Rows for the optimizer, rates and parts."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.recipes.export.row import Context, Row, flag, in_steps, made, row, share
from lib_dreambooth.settings.recipes.kohya.optimizers import OPTIMIZERS
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WHOLE, WORDS

# Names that kohya's scripts know; others are given as a class of the package that they come from.
KNOWN = {known.name for name, known in OPTIMIZERS.items() if name not in ("came", "adammini", "sgd")}
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
    """optimizer_args, as Python literals; kohya's scripts split each at its only equals sign."""
    own = dict(context.run.optimizer.arguments)
    if is_nesterov(context):
        own.pop("nesterov")
    found = [f"weight_decay={context.run.optimizer.weight_decay!r}"]
    for name, value in own.items():
        text = literal(value)
        if name.isidentifier() and "=" not in text:
            found.append(f"{name}={text}")
        else:
            context.say(f"{name} = {text} cannot be written as name=value and was left out.")
    return found


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
