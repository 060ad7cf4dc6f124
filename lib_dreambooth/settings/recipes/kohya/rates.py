"""kohya's options for learning rates, schedules and which parts they move."""

from __future__ import annotations

from lib_dreambooth.settings.convert import quoted
from lib_dreambooth.settings.recipes.kohya.optimizers import finds_its_rate_by_step
from lib_dreambooth.settings.recipes.kohya.running import is_open, needs_end
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WORDS
from lib_dreambooth.settings.recipes.rules import Rule, Table, flag, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, duration, number, numbers, switch, text, whole

SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_restarts": "cosine_with_restarts",
    "cosine_with_min_lr": "cosine",
    "polynomial": "polynomial",
    "inverse_sqrt": "inverse_sqrt",
    "warmup_stable_decay": "warmup_stable_decay",
    "piecewise_constant": "piecewise_constant",
    "adafactor": "constant",
}
# Scheduler classes by the last part of their path.
SCHEDULE_CLASSES = {
    "cosineannealinglr": "cosine",
    "cosineannealingwarmrestarts": "cosine_with_restarts",
    "rex": "rex",
    "rexannealingwarmrestarts": "rex",
    "linearlr": "linear",
    "constantlr": "constant",
    "polynomiallr": "polynomial",
    "onecyclelr": "one_cycle",
}
NUM_BLOCK_RATES = 23
DEFAULT_RATE = 2e-6


def base_rate(sheet: Sheet, entry: Entry) -> None:
    """learning_rate; sdxl_train takes 0 as leaving the UNet as it is."""
    rate = number(entry.value)
    if sheet.script == SDXL and rate == 0:
        sheet.honour(entry, {"parts.unet.train": False})
    elif finds_its_rate_by_step(sheet):
        sheet.differ(
            entry,
            {"rates.learning_rate": rate},
            "Adafactor finds its own rate where relative_step is not turned off; this one is left aside.",
        )
    else:
        sheet.honour(entry, {"rates.learning_rate": rate})


def part_rate(*parts: str) -> Rule:
    """The rate of a part; 0 leaves it as it is."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        rate = number(entry.value)
        sets: dict[str, object] = {}
        for part in parts:
            sets |= {f"parts.{part}.rate": rate} if rate else {f"parts.{part}.train": False}
        sheet.honour(entry, sets)

    return rule


def text_rates(sheet: Sheet, entry: Entry) -> None:
    """text_encoder_lr: one rate, or one for each text encoder."""
    rates = numbers(entry.value)
    if not 1 <= len(rates) <= 2:
        raise Unreadable("is not one rate or two.")
    first, second = rates[0], rates[-1]
    sets: dict[str, object] = {}
    for part, rate in (("text_encoder_1", first), ("text_encoder_2", second)):
        sets |= {f"parts.{part}.rate": rate} if rate else {f"parts.{part}.train": False}
    sheet.honour(entry, sets)
    if first != second and sheet.get("network_module", "networks.lora") == "networks.lora":
        run: dict[str, object] = {"parts.text_encoder_2.rate": first}
        meant: dict[str, object] = {"parts.text_encoder_2.rate": second}
        if not (first and second):
            run["parts.text_encoder_2.train"] = bool(first)
            meant["parts.text_encoder_2.train"] = bool(second)
        sheet.gap(
            Gap(
                "two rates in text_encoder_lr",
                "its LoRA gives the first one to both text encoders of SDXL.",
                "each its own.",
                run,
                meant,
            )
        )


def sdxl_text(sheet: Sheet, entry: Entry) -> None:
    """train_text_encoder: both text encoders, each unless its rate is 0."""
    on = switch(entry.value)
    sheet.honour(
        entry,
        {f"parts.text_encoder_{n}.train": on and sheet.number(f"learning_rate_te{n}") != 0 for n in (1, 2)},
    )


def text_stop(sheet: Sheet, entry: Entry) -> None:
    """stop_text_encoder_training: a step, or -1 for never training it."""
    step = whole(entry.value)
    parts = ("text_encoder_1", "text_encoder_2")
    if step < 0:
        sheet.honour(entry, {f"parts.{part}.train": False for part in parts})
        return
    total = None if sheet.given("max_train_epochs") else sheet.number("max_train_steps") or 1600
    if step == 0 or (total is not None and step >= total):
        sheet.honour(entry, says="it lies at or after the end, so the text encoder is trained throughout.")
    else:
        sheet.honour(entry, {f"parts.{part}.stop": f"{step} steps" for part in parts})


def block_rates(sheet: Sheet, entry: Entry) -> None:
    """block_lr: a rate for each of 23 blocks, as factors on the learning rate."""
    rates = numbers(entry.value)
    if len(rates) != NUM_BLOCK_RATES:
        raise Unreadable(f"has {len(rates)} numbers; SDXL has {NUM_BLOCK_RATES} blocks.")
    base = sheet.number("learning_rate") or DEFAULT_RATE
    factors = [float(f"{rate / base:.6g}") for rate in rates]
    sheet.honour(entry, {"parts.unet.block_rates": factors}, "as factors on the learning rate.")


def schedule(sheet: Sheet, entry: Entry) -> None:
    """lr_scheduler, which a class in lr_scheduler_type overrides."""
    name = text(entry.value).strip().lower().partition(":")[0]
    if sheet.given("lr_scheduler_type"):
        sheet.unused(entry, "lr_scheduler_type counts.")
    elif name in SCHEDULE_CLASSES and name not in SCHEDULES:
        # Forks of the scripts take names of classes here.
        schedule_class(sheet, entry)
    elif name not in SCHEDULES:
        sheet.ask(entry, "there is no schedule of this name here; constant stands in its place.")
    elif is_open(sheet) and needs_end(sheet):
        sheet.differ(
            entry,
            {"rates.schedule": "constant"},
            "it falls towards an end that was not meant to be reached, so it hardly falls at all.",
        )
    elif finds_its_rate_by_step(sheet) and name != "adafactor":
        sheet.differ(entry, {"rates.schedule": "constant"}, "Adafactor finds its own rate there.")
    elif name == "cosine_with_min_lr" and not sheet.given("lr_scheduler_min_lr_ratio"):
        sheet.differ(entry, {"rates.schedule": "cosine"}, "no floor is given, so it ends at 0.")
    else:
        sheet.honour(entry, {"rates.schedule": SCHEDULES[name]})


def schedule_class(sheet: Sheet, entry: Entry) -> None:
    """lr_scheduler_type: a scheduler's class."""
    last = text(entry.value).strip().rsplit(".", 1)[-1].lower()
    name = SCHEDULE_CLASSES.get(last) or SCHEDULES.get(last)
    if name is None:
        sheet.ask(entry, f"the class {quoted(entry.value)} is not loaded here; constant stands in its place.")
    elif is_open(sheet) and name != "constant":
        sheet.differ(entry, {"rates.schedule": "constant"}, "it needs an end, and the run has none.")
    else:
        sheet.differ(entry, {"rates.schedule": name}, "the schedule here that is most like this class.")


def warm_up(path: str) -> Rule:
    """lr_warmup_steps and lr_decay_steps: whole numbers are steps, a part of one is a share of the run.

    From a config file every float is taken as a share, also 100.0.
    """

    def rule(sheet: Sheet, entry: Entry) -> None:
        value, share = steps_or_share(entry.value)
        if value <= 0:
            sheet.honour(entry)
        elif share and is_open(sheet):
            sheet.differ(entry, {path: "0 steps"}, "a share of a run without an end is no length.")
        elif not share:
            sheet.honour(entry, {path: str(duration(value, "steps"))}, warm_constant(sheet, path))
        elif value < 1:
            sheet.honour(entry, {path: f"{value * 100:.10g} %"}, warm_constant(sheet, path))
        else:
            sheet.differ(entry, {}, "a number with a point.")
            sheet.gap(
                Gap(
                    f"{entry.key} = {entry.shown}",
                    f"in a file a number with a point is a share: {value:g} times the whole run.",
                    f"{value:g} steps.",
                    {path: "100 %"},
                    {path: f"{value:.10g} steps"},
                )
            )

    return rule


def steps_or_share(value: object) -> tuple[float, bool]:
    """The amount, and whether it is a share of the run."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return number(value.strip()[:-1]) / 100, True
    amount = number(value)
    typed_whole = isinstance(value, str) and "." not in value
    return amount, amount < 1 or (not isinstance(value, int) and not typed_whole)


def warm_constant(sheet: Sheet, path: str) -> str:
    """What to say of a warm-up where kohya's schedule has none."""
    name = str(sheet.get("lr_scheduler", "constant")).lower()
    if path == "rates.warmup" and name == "constant" and not sheet.given("lr_scheduler_type"):
        return "the script refuses a warm-up with constant; here the rate rises and then stays."
    return ""


def cycles(sheet: Sheet, entry: Entry) -> None:
    """lr_scheduler_num_cycles, which only restarts ask for."""
    sheet.honour(entry, {"rates.restarts": max(1, whole(entry.value))})


def pieces(sheet: Sheet, entry: Entry) -> None:
    """step_rules of a piecewise constant schedule."""
    sheet.honour(entry, {"rates.pieces": text(entry.value)})


def timescale(sheet: Sheet, entry: Entry) -> None:
    """How fast an inverse square root falls, in steps."""
    sheet.honour(entry, {"rates.timescale": str(duration(number(entry.value), "steps"))})


RATES: Table = {
    "learning_rate": base_rate,
    "unet_lr": part_rate("unet"),
    "text_encoder_lr": text_rates,
    "learning_rate_te": part_rate("text_encoder_1"),
    "learning_rate_te1": part_rate("text_encoder_1"),
    "learning_rate_te2": part_rate("text_encoder_2"),
    "block_lr": block_rates,
    "train_text_encoder": sdxl_text,
    "stop_text_encoder_training": text_stop,
    "no_token_padding": flag("captions.pad", on=False, off=True),
    "lr_scheduler": schedule,
    "lr_scheduler_type": schedule_class,
    "lr_scheduler_args": unused("it is not written as name=value."),
    "lr_scheduler_args.step_rules": pieces,
    "lr_warmup_steps": warm_up("rates.warmup"),
    "lr_decay_steps": warm_up("rates.decay"),
    "lr_scheduler_num_cycles": cycles,
    "lr_scheduler_power": to("rates.power", number),
    "lr_scheduler_timescale": timescale,
    "lr_scheduler_min_lr_ratio": to("rates.floor", number),
}


def fill_rates(sheet: Sheet) -> None:
    """Rates and parts where the recipe is silent: everything learns at learning_rate."""
    sheet.fill("learning_rate", "rates.learning_rate", DEFAULT_RATE)
    if sheet.script == WORDS:
        return
    for part in ("unet", "text_encoder_1", "text_encoder_2"):
        sheet.fill("learning_rate for every part", f"parts.{part}.rate", 0.0)
    for part in ("text_encoder_1", "text_encoder_2"):
        trained = sheet.script != SDXL
        option = "network_train_unet_only" if sheet.script == LORA else "train_text_encoder"
        sheet.fill(option, f"parts.{part}.train", trained)
