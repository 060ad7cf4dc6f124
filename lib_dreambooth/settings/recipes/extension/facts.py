"""What the rules of db_config.json ask about the rest of the file."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.extension.eras import Era
from lib_dreambooth.settings.recipes.sheet import Sheet

LORA_MODULE = "lora"


def era(sheet: Sheet) -> Era:
    """The form of the file."""
    found = sheet.assumed["era"]
    assert isinstance(found, Era)
    return found


def is_lora(sheet: Sheet) -> bool:
    """Whether a LoRA is trained."""
    return sheet.is_on("use_lora")


def is_sdxl(sheet: Sheet) -> bool:
    """Whether the model is SDXL."""
    return str(sheet.get("model_type", "")).strip().lower() == "sdxl"


def has_class_pictures(sheet: Sheet) -> bool:
    """Whether any concept has class pictures."""
    return sheet.values.get("class_pictures.relation") == "beside"


def rate(sheet: Sheet) -> float:
    """The rate of the UNet."""
    return sheet.number("lora_learning_rate" if is_lora(sheet) else "learning_rate") or 0.0


def batch(sheet: Sheet) -> int:
    """Pictures that its counters go on by with every step."""
    return max(1, int(sheet.number("train_batch_size") or 1))


def by_pictures(sheet: Sheet) -> bool:
    """Whether steps are counted in pictures, as all forms but the first do."""
    return era(sheet) >= Era.DEC_2022 and batch(sheet) > 1
