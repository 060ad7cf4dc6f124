"""The command `dataset`: what a folder holds, what is wrong with it, and what each picture is trained on."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.base.files import write_text
from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.facts import Facts, installed_packages
from lib_dreambooth.settings.files import review_file
from lib_dreambooth.settings.reading import Review, defaults, review_typed, update
from lib_dreambooth.settings.sources import COMMAND_LINE, Sourced

PAGE_ENDINGS = (".html", ".htm")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", nargs="?", help="a folder with pictures, or a zip of one")
    parser.add_argument(
        "--settings",
        metavar="SETTINGS.toml",
        help="look at the concepts of a run, under its settings, in place of DIR",
    )
    parser.add_argument("--token", metavar="WORD", help="the instance token that DIR is trained with")
    parser.add_argument("--class-token", metavar="WORD", help="the class token that DIR is trained with")
    parser.add_argument(
        "--captions", action="store_true", help="show exactly what each picture is trained on"
    )
    parser.add_argument(
        "--buckets", action="store_true", help="show each picture's bucket, scale and what is cut off"
    )
    parser.add_argument("--html", metavar="FILE.html", type=Path, help="write a page with thumbnails")


def run(args: argparse.Namespace, out: Out) -> int:
    page_path = checked_page(args.html)
    sourced = settings_of(args)
    # Only here, so that a wrong argument is said at once.
    from lib_dreambooth.cli import dataset_text
    from lib_dreambooth.jobs.looking import look_at

    with tempfile.TemporaryDirectory(prefix="sd-webui-dreambooth-") as unpacked:
        looked = look_at(sourced, out.counting, Path(unpacked), with_thumbnails=page_path is not None)
    if page_path is not None:
        from lib_dreambooth.data.health.page import page

        write_text(page_path, page(looked.report, f"Dataset {Path(looked.folders[0]).name}"))
    dataset_text.say(out, looked, captions=args.captions, buckets=args.buckets)
    if page_path is not None:
        out.line(f"{page_path}: written")
    out.result({**looked.to_json(), "page": str(page_path) if page_path is not None else None})
    return 0


def checked_page(path: Path | None) -> Path | None:
    """Where the page goes; only a page is ever written over."""
    if path is None:
        return None
    if path.suffix.lower() not in PAGE_ENDINGS:
        raise UserError(
            "is not the name of a page.",
            where=str(path),
            todo="Give --html a name that ends in .html.",
            code="bad-arguments",
        )
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise FileError("cannot be written there.", where=str(path), todo="Give a file in a folder that is.")
    return path


def settings_of(args: argparse.Namespace) -> Sourced:
    """The settings to look under: those of a file, or of one folder."""
    if bool(args.folder) == bool(args.settings):
        raise UserError(
            "gives both a folder and settings." if args.folder else "gives neither a folder nor settings.",
            where="dataset",
            todo="Write `dataset DIR`, or `dataset --settings SETTINGS.toml`.",
            code="bad-arguments",
        )
    facts = Facts(packages=installed_packages())
    problems: list[UserError] = []
    if args.settings:
        read = review_file(args.settings, facts=facts)
        base = read.sourced
        problems = [problem for problem in read.problems if problem.code != "contradiction"]
    else:
        concept = {"folder": args.folder, "token": args.token or "", "class_token": args.class_token or ""}
        base = update(defaults(), {"concepts": [concept]}, COMMAND_LINE)
    typed = review_typed(args.setting_pairs, base=base, facts=facts)
    return Review(typed.sourced, (*problems, *typed.problems), typed.notices).accepted()
