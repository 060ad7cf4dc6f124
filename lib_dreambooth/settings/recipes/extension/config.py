"""A db_config.json, from keys to a sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.extension.concepts import CONCEPT, concept_entries, concept_rule
from lib_dreambooth.settings.recipes.extension.eras import NAMES, Era, era_of
from lib_dreambooth.settings.recipes.extension.facts import is_lora
from lib_dreambooth.settings.recipes.extension.table import EXTENSION
from lib_dreambooth.settings.recipes.rules import Tool, apply
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet

TOOL = Tool("sd_dreambooth_extension", EXTENSION, concept_rule)
# Option, setting, and what it is in each form where the file does not say.
SILENCE: tuple[tuple[str, str, Any], ...] = (
    ("keep the first tag when shuffling", "captions.keep_tokens", 1),
    ("min_snr_gamma", "loss.min_snr_gamma", 0.0),
    ("no masks", "pictures.masks", False),
    ("no zero terminal noise", "noise.zero_terminal", "off"),
    ("no first preview", "previews.at_start", False),
    ("lr_scheduler", "rates.schedule", "constant"),
    ("optimizer", "optimizer.name", "AdamW"),
    ("max_token_length", "captions.max_tokens", 75),
    ("captions by file name", "captions.file_name", True),
)


def import_extension(sheet: Sheet, data: Mapping[str, Any], concepts: Any = None) -> str:
    """Writes a config onto the sheet; returns what it was read as. `concepts` is the list it points to."""
    era = era_of(data)
    sheet.assumed["era"] = era
    sheet.assumed["concepts_read"] = concepts is not None
    sheet.add(entry for key, value in data.items() for entry in entries_of(str(key), value, concepts))
    if concepts is not None:
        sheet.add(concept_entries("concepts_path", concepts))
    # Class pictures decide what the weight does.
    order = sorted(sheet.entries, key=lambda name: not name.startswith("concepts."))
    sheet.entries = {name: sheet.entries[name] for name in order}
    apply(sheet, TOOL)
    fill_silence(sheet, era)
    note_faults(sheet, era)
    return f"db_config.json of sd_dreambooth_extension (form of {NAMES[era]})"


def entries_of(key: str, value: Any, concepts: Any) -> Iterator[Entry]:
    """One key; those of the concepts get lines of their own."""
    if key == "concepts_list" and value not in (None, "", []):
        if concepts is None:
            yield from concept_entries(key, value)
        else:
            yield Entry(key, "replaced concepts", value)
    elif key in CONCEPT:
        # November 2022 had one concept, right in the file.
        yield Entry(key, f"concepts.0.{key}", value)
    else:
        yield Entry(key, key, value)


def note_faults(sheet: Sheet, era: Era) -> None:
    """Faults that changed what was learned; none of them is repeated."""
    if era is Era.JAN_2023 and (sheet.number("train_batch_size") or 1) > 1:
        sheet.gap(
            Gap(
                "batches",
                "of each batch it trains on one picture only; that is not repeated.",
                "all of them.",
            )
        )
    if era is Era.LAST:
        sheet.gap(
            Gap(
                "pictures of an epoch",
                "it draws pictures anew for every batch, so that about a third is missed in each epoch;"
                " that is not repeated.",
                "every picture once an epoch.",
            )
        )


def fill_silence(sheet: Sheet, era: Era) -> None:
    """What the extension does by itself."""
    sheet.fill("use_lora", "network.kind", "none")
    sheet.fill("buckets", "pictures.buckets", era >= Era.JAN_2023)
    if is_lora(sheet):
        sheet.fill("lora_unet_rank", "network.rank", 4)
        sheet.fill("training at full strength", "network.alpha", 0.0)
        sheet.fill("layers of its LoRA", "network.targets", "attention")
    clips = era >= Era.JAN_2023 and not (era is Era.LAST and is_lora(sheet))
    sheet.fill("gradient clipping", "optimizer.max_grad_norm", 1.0 if clips else 0.0)
    for part in ("unet", "text_encoder_1", "text_encoder_2"):
        sheet.fill("one rate for all parts", f"parts.{part}.rate", 0.0)
    sheet.fill("train_text_encoder", "parts.text_encoder_1.train", True)
    sheet.fill("train_text_encoder", "parts.text_encoder_2.train", True)
    sheet.fill("learning_rate", "rates.learning_rate", 1e-4 if is_lora(sheet) else 2e-6)
    for option, path, value in SILENCE:
        sheet.fill(option, path, value)


def import_concepts(sheet: Sheet, concepts: Any) -> str:
    """Writes a list of concepts onto the sheet; returns what it was read as."""
    sheet.assumed["era"] = Era.LAST
    sheet.add(concept_entries("concepts", concepts))
    apply(sheet, TOOL)
    return "list of concepts of sd_dreambooth_extension"
