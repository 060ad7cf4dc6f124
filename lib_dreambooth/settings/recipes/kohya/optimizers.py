"""Optimizers by the names that kohya's scripts, their forks and GUIs give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth.settings.recipes.rules import Table, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import literal, number, switch, text


@dataclass(frozen=True)
class Known:
    """An optimizer: its name here, arguments that the foreign name implies, and in what it differs."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    decay: float = 0.0
    says: str = ""


NESTEROV = {"nesterov": True, "momentum": 0.9}
# Weight decay is what the optimizer takes where none is given.
OPTIMIZERS = {
    "adamw": Known("AdamW", decay=0.01),
    "adamw8bit": Known("AdamW8bit", decay=0.01),
    "pagedadamw": Known("PagedAdamW", decay=0.01),
    "pagedadamw8bit": Known("PagedAdamW8bit", decay=0.01),
    "pagedadamw32bit": Known("PagedAdamW32bit", decay=0.01),
    "lion": Known("Lion"),
    "lion8bit": Known("Lion8bit"),
    "pagedlion8bit": Known("PagedLion8bit"),
    "sgdnesterov": Known("SGD", NESTEROV),
    "sgdnesterov8bit": Known("SGD8bit", NESTEROV),
    "dadaptation": Known("DAdaptAdam", says="the finished form of the preprint that this name stands for."),
    "dadaptadampreprint": Known("DAdaptAdam", says="the finished form of the preprint."),
    "dadaptadam": Known("DAdaptAdam"),
    "dadaptadagrad": Known("DAdaptAdaGrad"),
    "dadaptadan": Known("DAdaptAdan"),
    "dadaptadanip": Known("DAdaptAdan", says="the IP form is not built in; the plain one is nearest."),
    "dadaptlion": Known("DAdaptLion"),
    "dadaptsgd": Known("DAdaptSGD"),
    "prodigy": Known("Prodigy"),
    "adafactor": Known("AdaFactor"),
    "came": Known("CAME"),
    "adammini": Known("AdamMini", decay=0.1),
    "radamschedulefree": Known("RAdamScheduleFree"),
    "adamwschedulefree": Known("AdamWScheduleFree"),
    "sgdschedulefree": Known("SGDScheduleFree"),
    "sgd": Known("SGD"),
}


def chosen(sheet: Sheet) -> str:
    """The optimizer's foreign name in small letters; AdamW where none is given."""
    for name, optimizer in (("use_8bit_adam", "adamw8bit"), ("use_lion_optimizer", "lion")):
        if sheet.is_on(name) and not sheet.given("optimizer_type"):
            return optimizer
    given = sheet.get("optimizer_type", "AdamW")
    return str(given).strip().rsplit(".", 1)[-1].lower()


def optimizer(sheet: Sheet, entry: Entry) -> None:
    """optimizer_type: a name, or the path of a class."""
    name = text(entry.value).strip()
    known = OPTIMIZERS.get(chosen(sheet))
    if known is None:
        sheet.differ(
            entry,
            {"optimizer.name": name.rsplit(".", 1)[-1]},
            "looked up by this name in pytorch-optimizer and bitsandbytes.",
        )
        return
    sets = {"optimizer.name": known.name}
    sets |= {f"optimizer.arguments#{key}": value for key, value in known.arguments.items()}
    if known.says or "." in name:
        sheet.differ(entry, sets, known.says or "the same optimizer under its name here.")
    else:
        sheet.honour(entry, sets)


def old_switch(sheet: Sheet, entry: Entry) -> None:
    """use_8bit_adam and use_lion_optimizer, the spellings from before optimizer_type."""
    if not switch(entry.value):
        sheet.honour(entry)
    elif sheet.given("optimizer_type"):
        sheet.unused(entry, "optimizer_type counts.")
    else:
        sheet.honour(entry, {"optimizer.name": OPTIMIZERS[chosen(sheet)].name})


def argument(sheet: Sheet, entry: Entry) -> None:
    """One of optimizer_args; values are Python literals there."""
    name = entry.name.partition(".")[2]
    value = literal(entry.value)
    if name == "weight_decay":
        sheet.honour(entry, {"optimizer.weight_decay": number(value)})
    else:
        sheet.honour(entry, {f"optimizer.arguments#{name}": value})


def finds_its_rate_by_step(sheet: Sheet) -> bool:
    """Whether Adafactor takes its own rate: it does unless relative_step is turned off."""
    return (
        chosen(sheet) == "adafactor" and literal(sheet.get("optimizer_args.relative_step", True)) is not False
    )


def fill_optimizer(sheet: Sheet) -> None:
    """What the optimizer does where the recipe is silent."""
    known = OPTIMIZERS.get(chosen(sheet))
    sheet.fill("optimizer_type", "optimizer.name", "AdamW")
    if known is not None:
        sheet.fill(f"weight decay of {known.name}", "optimizer.weight_decay", known.decay)
    if finds_its_rate_by_step(sheet):
        sheet.fill("relative_step of Adafactor", "optimizer.arguments#relative_step", True)


OPTIMIZER: Table = {
    "optimizer_type": optimizer,
    "use_8bit_adam": old_switch,
    "use_lion_optimizer": old_switch,
    "optimizer_args": unused("it is not written as name=value."),
    "max_grad_norm": to("optimizer.max_grad_norm", number),
}
