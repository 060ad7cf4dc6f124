"""A folder of captions as the commands `captions` and `tag` take it, and where its edits are remembered."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.data.sources.pasted import clean_path
from lib_dreambooth.data.tags.journal import Journal
from lib_dreambooth.data.tags.places import default_journal


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a folder and its journal."""
    parser.add_argument("folder", metavar="DIR", help="a folder with pictures, sub-folders included")
    parser.add_argument(
        "--journal",
        metavar="DIR",
        type=Path,
        help="where edits are remembered for undo (default: a folder of this program, outside of DIR)",
    )


def folder_of(args: argparse.Namespace) -> Path:
    """The folder that the arguments name; undo may be asked for from elsewhere, so it is absolute."""
    return clean_path(args.folder, "DIR").absolute()


def journal_of(args: argparse.Namespace) -> Journal:
    """The journal of the folder that the arguments name."""
    return Journal(args.journal or default_journal(folder_of(args)))


def undo_command(args: argparse.Namespace) -> str:
    """What to type to take back what was just done."""
    journal = f' --journal "{visible_line(str(args.journal))}"' if args.journal else ""
    return f'`captions undo "{visible_line(str(args.folder))}"{journal}`'
