"""An argument parser that raises our errors instead of ending the process."""

from __future__ import annotations

import argparse
from typing import NoReturn

from lib_dreambooth.base.errors import UserError

COMMON = """\
common flags:
  --json                 one JSON value instead of text, also for errors
  -h, --help             this help
exit codes: 0 done, 1 failed, 2 bad input, 130 cancelled
"""
SETTINGS = """\
settings:
  --set SECTION.KEY=VALUE      one setting; may be given often
  --SECTION.KEY VALUE          the same; a switch may stand alone, or off with --no-
  `settings list` and docs/settings.md name them all, `settings find WORD` finds one by any of its names
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with arguments as a UserError."""

    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"{message}.", where=self.prog, todo=f"{self.prog} --help shows how.", code="bad-arguments"
        )


def new_parser(prog: str, summary: str, *, takes_settings: bool = False) -> Parser:
    """The parser of one command."""
    return Parser(
        prog=prog,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=SETTINGS + COMMON if takes_settings else COMMON,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # --rate must not be taken for --rates.learning_rate or anything else that begins so.
        allow_abbrev=False,
    )
