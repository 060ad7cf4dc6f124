"""The command `import`: another tool's recipe as a settings file, with what became of every key."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.files import write_file
from lib_dreambooth.settings.recipes import Fate, Imported, read_metadata, read_recipe
from lib_dreambooth.settings.recipes.looking import look_around, read_bytes, reader_beside


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="a config of kohya's scripts, its GUI or Easy Training Scripts, db_config.json, a LoRA file, or"
        " a text with a training command",
    )
    parser.add_argument(
        "--to", metavar="SETTINGS.toml", type=Path, help="where to write; without it only the report is shown"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--as-meant", action="store_true", help="do what the options say (the default)")
    way.add_argument("--as-run", action="store_true", help="repeat what the tool did where that differs")
    parser.add_argument(
        "--look-in",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="look for models here, such as the WebUI's models folder; may be given often",
    )


def run(args: argparse.Namespace, out: Out) -> int:
    imported = read(args.file, args.as_run, args.look_in)
    if args.to is not None:
        write_file(args.to, imported.sourced)
    for line in imported.report.text().splitlines():
        out.line(line)
    waiting = len(imported.report.of(Fate.NEEDS_YOU))
    if args.to is not None:
        out.line()
        out.line(f"{args.to}: written" + (f"; {waiting} keys need you" if waiting else ""))
    out.result({"file": str(args.to) if args.to is not None else None, **imported.report.to_json()})
    return 0


def read(path: Path, as_run: bool, folders: list[Path]) -> Imported:
    """The run that a file describes."""
    here = look_around(path, folders)
    if path.suffix.lower() == ".safetensors":
        return read_metadata(metadata_of(path), path.name, as_run=as_run, here=here)
    # Only here, so that a file in Unicode is read without it.
    from lib_dreambooth.data.captions.decode import decode

    return read_recipe(
        read_bytes(path),
        path.name,
        as_run=as_run,
        here=here,
        legacy=lambda data: decode(data).text,
        beside=reader_beside(path),
    )


def metadata_of(path: Path) -> dict[str, str]:
    """What a LoRA file says about itself."""
    from lib_dreambooth.formats.refusals import unreadable
    from lib_dreambooth.formats.safetensors_read import read_header

    try:
        with path.open("rb") as file:
            return read_header(file, path, path.stat().st_size)[1]
    except OSError as error:
        raise unreadable(path, error) from error
