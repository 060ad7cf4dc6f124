"""A command line of kohya's scripts."""

from __future__ import annotations

from collections.abc import Iterator

from lib_dreambooth.settings.recipes.command_line import Command
from lib_dreambooth.settings.recipes.kohya.config import option_entries, settle_kohya
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WHOLE, WORDS
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet

SCRIPTS = {
    "train_network.py": LORA,
    "sdxl_train_network.py": LORA,
    "train_db.py": WHOLE,
    "fine_tune.py": WHOLE,
    "sdxl_train.py": SDXL,
    "train_textual_inversion.py": WORDS,
    "sdxl_train_textual_inversion.py": WORDS,
}


def is_kohya_script(name: str) -> bool:
    """Whether a script is one of kohya's."""
    return name in SCRIPTS


def import_kohya_command(sheet: Sheet, command: Command) -> str:
    """Writes a command onto the sheet; returns what it was read as."""
    sheet.add(entries_of(command))
    sheet.script = SCRIPTS[command.script]
    if command.script.startswith("sdxl"):
        sheet.assumed["sdxl"] = True
        sheet.fill("name of the script", "model.family", "sdxl")
    return settle_kohya(sheet, "command line", command.script)


def entries_of(command: Command) -> Iterator[Entry]:
    """One entry for each option; the command line turns whole shares into steps, as in 100.0."""
    for name, value in command.launch:
        yield Entry(f"launch --{name}", f"launch.{name}", value)
    for place, (name, value) in enumerate(command.options):
        if not name:
            yield Entry(f"argument {place + 1}", "", value)
        elif name in ("lr_warmup_steps", "lr_decay_steps") and isinstance(value, float) and value >= 1:
            yield Entry(f"--{name}", name, int(value), value)
        else:
            yield from option_entries(f"--{name}", name, value)
