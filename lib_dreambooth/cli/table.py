"""The commands. Adding one: a file with `add(parser)` and `run(args, out) -> int`, and a row here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`module` is imported only when the command is called.

    With `takes_settings` every setting is a flag (--rates.learning_rate 5e-5) besides --set; what was given
    so stands in `args.setting_pairs`, to be read by `run_settings.review`.
    """

    name: str
    module: str
    summary: str
    takes_settings: bool = False


ROWS: tuple[Row, ...] = (
    Row(
        "settings",
        "lib_dreambooth.cli.settings",
        "lists, shows, checks, compares and writes settings and presets",
        takes_settings=True,
    ),
)
