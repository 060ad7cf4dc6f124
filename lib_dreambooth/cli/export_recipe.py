"""The command `export`: a run as a config of kohya's scripts."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.base.files import write_text
from lib_dreambooth.cli import run_settings
from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.recipes.export.kohya import export_kohya


def add(parser: argparse.ArgumentParser) -> None:
    run_settings.add(parser)
    parser.add_argument(
        "--to", metavar="FILE.toml", type=Path, required=True, help="where to write the config"
    )
    parser.add_argument(
        "--family",
        choices=("sd1", "sd2", "sdxl"),
        default="",
        help="what the base is, where the settings leave it open; it chooses the script",
    )


def run(args: argparse.Namespace, out: Out) -> int:
    found = run_settings.review(args)
    exported = export_kohya(found.accepted().run, args.to.name, args.family)
    for name, text in exported.files.items():
        write_text(args.to.parent / name, text)
        out.line(f"{args.to.parent / name}: written")
    for remark in (*exported.notes, *exported.left_out):
        out.note(remark)
    out.line(exported.command)
    out.result(
        {
            "files": [str(args.to.parent / name) for name in exported.files],
            "command": exported.command,
            "notes": list(exported.notes),
            "left_out": list(exported.left_out),
        }
    )
    return 0
