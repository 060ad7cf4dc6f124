"""The command `settings`: everything about settings that needs no model and no pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli import run_settings
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.parser import Parser
from lib_dreambooth.cli.settings_about import docs, find, list_all, schema
from lib_dreambooth.cli.settings_files import check_file, diff, presets, show, write


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)

    part = actions.add_parser("list", help="every setting with default and range")
    part.add_argument("section", nargs="?", help="only this section, such as rates")
    part.add_argument("--basic", action="store_true", help="only the basic ones")
    part.set_defaults(handler=list_all)

    part = actions.add_parser(
        "find", help="a setting by any of its names, also kohya's and the old extension's"
    )
    part.add_argument("word", nargs="+")
    part.set_defaults(handler=find)

    part = actions.add_parser("show", help="the settings of a file, and where each came from")
    run_settings.add(part)
    part.add_argument("--all", action="store_true", help="also those with their default value")
    part.set_defaults(handler=show)

    part = actions.add_parser("check", help="what is wrong, missing or without effect in a file")
    run_settings.add(part)
    part.set_defaults(handler=check_file)

    part = actions.add_parser("diff", help="what differs between two files, or a file and a preset")
    part.add_argument("before", help="a file, or `defaults`")
    part.add_argument("after", help="a file, or the name of a preset that is applied to the first")
    part.add_argument("--pictures", metavar="N", type=int, help="number of training pictures, for presets")
    part.add_argument("--presets-folder", metavar="DIR", type=Path, help="where your own presets are")
    part.set_defaults(handler=diff)

    part = actions.add_parser("presets", help="the presets")
    part.add_argument("--presets-folder", metavar="DIR", type=Path, help="where your own presets are")
    part.set_defaults(handler=presets)

    part = actions.add_parser("write", help="a settings file, from a preset and flags")
    part.add_argument("to", metavar="FILE.toml")
    part.add_argument("--from", dest="file", metavar="SETTINGS.toml", help="begin with this file")
    part.add_argument("--preset", metavar="NAME", help="apply this preset")
    part.add_argument("--pictures", metavar="N", type=int, help="number of training pictures, for presets")
    part.add_argument("--presets-folder", metavar="DIR", type=Path, help="where your own presets are")
    part.set_defaults(handler=write)

    part = actions.add_parser("docs", help="write docs/settings.md, or check that it is up to date")
    part.add_argument("--to", metavar="FILE", type=Path, default=Path("docs/settings.md"))
    part.add_argument("--check", action="store_true", help="change nothing; exit 1 where it is out of date")
    part.set_defaults(handler=docs)

    part = actions.add_parser("schema", help="the JSON schema of a run")
    part.set_defaults(handler=schema)


def run(args: argparse.Namespace, out: Out) -> int:
    result: int = args.handler(args, out)
    return result
