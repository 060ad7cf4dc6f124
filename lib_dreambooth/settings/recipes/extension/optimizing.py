"""Its keys for rates, schedules and the optimizer."""

from __future__ import annotations

from lib_dreambooth.settings.convert import number_shown
from lib_dreambooth.settings.recipes.extension.eras import Era
from lib_dreambooth.settings.recipes.extension.facts import era, is_lora, rate
from lib_dreambooth.settings.recipes.rules import Rule, Table, flag, to
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import lower_text, number, switch, whole

OPTIMIZERS = {
    "8bit adamw": "AdamW8bit",
    "8bit adam": "AdamW8bit",
    "torch adamw": "AdamW",
    "adamw": "AdamW",
    "paged 8bit adamw": "PagedAdamW8bit",
    "adafactor": "AdaFactor",
    "lion": "Lion",
    "8bit lion": "Lion8bit",
    "paged 8bit lion": "PagedLion8bit",
    "adamw dadaptation": "DAdaptAdam",
    "adam dadaptation": "DAdaptAdam",
    "d-adapt adam": "DAdaptAdam",
    "adan dadaptation": "DAdaptAdan",
    "d-adapt adan": "DAdaptAdan",
    "lion dadaptation": "DAdaptLion",
    "d-adapt lion": "DAdaptLion",
    "sgd dadaptation": "DAdaptSGD",
    "d-adapt sgd": "DAdaptSGD",
    "came": "CAME",
    "prodigy": "Prodigy",
}
OTHER_OPTIMIZERS = {
    "adanip dadaptation": ("DAdaptAdan", "the IP form is not built in; the plain one is nearest."),
    "d-adapt adanip": ("DAdaptAdan", "the IP form is not built in; the plain one is nearest."),
    "apollo": ("Apollo", "taken from pytorch-optimizer."),
    "sophia": ("SophiaH", "taken from pytorch-optimizer."),
    "tiger": ("Tiger", "taken from pytorch-optimizer."),
}
SCHEDULES = {
    "linear": "linear",
    "linear_with_warmup": "linear",
    "cosine": "cosine",
    "cosine_annealing": "cosine",
    "cosine_with_restarts": "cosine_with_restarts",
    "cosine_annealing_restarts": "cosine_with_restarts",
    "cosine_annealing_with_restarts": "cosine_with_restarts",
    "polynomial": "polynomial",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "dadapt_with_warmup": "constant",
    "rex": "rex",
}


def main_rate(for_lora: bool) -> Rule:
    """learning_rate for whole models, lora_learning_rate for LoRA."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = number(entry.value)
        if is_lora(sheet) is for_lora:
            sheet.honour(entry, {"rates.learning_rate": value, "parts.unet.rate": 0.0})
        else:
            sheet.unused(entry, f"it counts {'with' if for_lora else 'without'} Use LORA only.")

    return rule


def text_rate(for_lora: bool) -> Rule:
    """txt_learning_rate for whole models, lora_txt_learning_rate for LoRA."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = number(entry.value)
        if is_lora(sheet) is not for_lora:
            sheet.unused(entry, f"it counts {'with' if for_lora else 'without'} Use LORA only.")
            return
        parts = ("text_encoder_1", "text_encoder_2")
        one = {f"parts.{part}.rate": 0.0 for part in parts}
        own = {f"parts.{part}.rate": value for part in parts}
        sheet.honour(entry, own)
        if era(sheet) is Era.LAST and value != rate(sheet):
            sheet.gap(
                Gap(
                    entry.key,
                    "everything learns at the UNet's rate; this one does nothing.",
                    "its own rate.",
                    one,
                    own,
                )
            )

    return rule


def optimizer(sheet: Sheet, entry: Entry) -> None:
    """optimizer."""
    name = lower_text(entry.value)
    if name in OPTIMIZERS:
        sheet.honour(entry, {"optimizer.name": OPTIMIZERS[name]})
    elif name in OTHER_OPTIMIZERS:
        found, says = OTHER_OPTIMIZERS[name]
        sheet.differ(entry, {"optimizer.name": found}, says)
    else:
        sheet.ask(entry, "this optimizer is not known here; AdamW stands in its place.")


def small_adam(sheet: Sheet, entry: Entry) -> None:
    """use_8bit_adam."""
    if sheet.given("optimizer"):
        sheet.unused(entry, "optimizer counts.")
    else:
        sheet.honour(entry, {"optimizer.name": "AdamW8bit" if switch(entry.value) else "AdamW"})


def betas(sheet: Sheet, entry: Entry) -> None:
    """adam_beta1 and adam_beta2 make one argument."""
    number(entry.value)
    pair = [sheet.number("adam_beta1") or 0.9, sheet.number("adam_beta2") or 0.999]
    sheet.honour(entry, {"optimizer.arguments#betas": pair})


def decay(sheet: Sheet, entry: Entry) -> None:
    """The weight decay under the names it had."""
    names = ("weight_decay", "adamw_weight_decay", "adam_weight_decay")
    first = next((name for name in names if sheet.given(name)), entry.name)
    if entry.name == first:
        sheet.honour(entry, {"optimizer.weight_decay": number(entry.value)})
    else:
        sheet.unused(entry, f"{first} counts.")


def clipping(sheet: Sheet, entry: Entry) -> None:
    """max_grad_norm, whose code was taken out while its field stayed."""
    value = number(entry.value)
    sheet.honour(entry, {"optimizer.max_grad_norm": value})
    if value:
        sheet.gap(
            Gap(
                "max_grad_norm",
                "the field is shown, and nothing is clipped.",
                "clipping.",
                {"optimizer.max_grad_norm": 0.0},
                {"optimizer.max_grad_norm": value},
            )
        )


def schedule(sheet: Sheet, entry: Entry) -> None:
    """lr_scheduler."""
    name = lower_text(entry.value)
    found = SCHEDULES.get(name)
    if found is None:
        sheet.ask(entry, "there is no schedule of this name here; constant stands in its place.")
        return
    sheet.honour(entry, {"rates.schedule": found})
    if found == "cosine" and era(sheet) is Era.LAST:
        sheet.gap(
            Gap(
                "cosine",
                "the rate falls to 0 in the middle and climbs back to its full height at the end; that is not"
                " repeated.",
                "one fall.",
            )
        )


def floor(sheet: Sheet, entry: Entry) -> None:
    """learning_rate_min: where falling schedules end."""
    lowest, top = number(entry.value), rate(sheet)
    if str(sheet.get("lr_scheduler", "")) not in ("cosine_annealing", "cosine_annealing_restarts", "rex"):
        sheet.unused(entry, "the schedule does not ask it.")
    elif not top or lowest > top:
        sheet.unused(entry, f"it is not below the rate ({number_shown(top)}).")
    else:
        sheet.honour(entry, {"rates.floor": float(f"{lowest / top:.6g}")})


OPTIMIZING: Table = {
    "learning_rate": main_rate(for_lora=False),
    "lora_learning_rate": main_rate(for_lora=True),
    "txt_learning_rate": text_rate(for_lora=False),
    "lora_txt_learning_rate": text_rate(for_lora=True),
    "scale_lr": flag("rates.scale"),
    "lr_scheduler": schedule,
    "lr_cycles": to("rates.restarts", whole),
    "lr_power": to("rates.power", number),
    "learning_rate_min": floor,
    "optimizer": optimizer,
    "use_8bit_adam": small_adam,
    "adam_beta1": betas,
    "adam_beta2": betas,
    "adam_epsilon": to("optimizer.arguments#eps", number),
    "weight_decay": decay,
    "adamw_weight_decay": decay,
    "adam_weight_decay": decay,
    "max_grad_norm": clipping,
}
