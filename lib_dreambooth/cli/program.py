"""From arguments to an exit code: 0 done, 1 failed, 2 bad input, 130 cancelled."""

from __future__ import annotations

import datetime
import importlib
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.cli import setting_flags
from lib_dreambooth.cli.output import Out, standard
from lib_dreambooth.cli.parser import COMMON, new_parser
from lib_dreambooth.cli.table import Row

DONE, FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130
PROGRAM = "run.py"
# What is run where no command is named.
DEFAULT = "ui"
# bitsandbytes 0.50 warns at import, on a machine without a card, of a package that only its 4-bit layers use.
NOISY_LOGGER = "bitsandbytes.backends.cpu.ops"


def main(arguments: Sequence[str], rows: Sequence[Row], out: Out | None = None) -> int:
    """Runs the command that the arguments name."""
    words = list(arguments)
    logging.getLogger(NOISY_LOGGER).setLevel(logging.ERROR)
    as_json = take(words, "--json")
    out = out or standard(as_json=as_json)
    try:
        return run(words, rows, out)
    except UserError as error:
        out.error(error)
        return BAD_INPUT
    except (KeyboardInterrupt, Cancelled):
        out.note("Cancelled.")
        return CANCELLED
    except BrokenPipeError:
        # Whoever reads has read enough (`| head`); nothing more can be said to them, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception:  # noqa: BLE001 - the edge of the command line: a bug keeps its traceback, in the log
        return failed(out)


def run(words: list[str], rows: Sequence[Row], out: Out) -> int:
    """Finds the command, reads its arguments, and calls it."""
    if not words and any(row.name == DEFAULT for row in rows):
        words = [DEFAULT]
    if not words or words[0] in ("-h", "--help", "help"):
        overview(rows, out)
        return DONE
    row = next((row for row in rows if row.name == words[0]), None)
    if row is None:
        names = ", ".join(row.name for row in rows)
        raise UserError(
            f'there is no command "{words[0]}".', todo=f"There are: {names}.", code="unknown-command"
        )
    pairs, rest = setting_flags.split(words[1:]) if row.takes_settings else ([], words[1:])
    module = importlib.import_module(row.module)
    parser = new_parser(f"{PROGRAM} {row.name}", row.summary, takes_settings=row.takes_settings)
    module.add(parser)
    try:
        args = parser.parse_args(rest)
    except SystemExit as done:
        # argparse ends the process after --help and after its own errors, which ours raises instead.
        return int(done.code or 0)
    args.setting_pairs = pairs
    return int(module.run(args, out))


def take(words: list[str], flag: str) -> bool:
    """Removes a flag that every command has, wherever it stands before `--`."""
    end = words.index("--") if "--" in words else len(words)
    found = flag in words[:end]
    words[:end] = [word for word in words[:end] if word != flag]
    return found


def overview(rows: Sequence[Row], out: Out) -> None:
    """All commands in a line each."""
    out.line(f"usage: {PROGRAM} COMMAND [--help]")
    out.line()
    out.table([(row.name, row.summary) for row in rows], indent="  ")
    out.line()
    out.line(COMMON.rstrip())
    out.result({"commands": [{"name": row.name, "summary": row.summary} for row in rows]})


def failed(out: Out) -> int:
    """Keeps the traceback of a bug in a file and says where."""
    text = traceback.format_exc()
    path = (
        Path(tempfile.gettempdir())
        / "sd-webui-dreambooth"
        / f"error-{datetime.datetime.now():%Y%m%d-%H%M%S}.log"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        todo = f"Please report it with the log: {path}"
    except OSError:
        todo = text
    what = f"something went wrong that should not ({text.strip().splitlines()[-1]})."
    out.error(UserError(what, todo=todo, code="internal-error"))
    return FAILED
