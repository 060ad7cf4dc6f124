"""The command `tag`: captions for a folder from a tagger of the WD14 family that the user has."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.cli import caption_folder
from lib_dreambooth.cli.output import Out

if TYPE_CHECKING:
    from lib_dreambooth.data.tags.tagger import TagChoice
    from lib_dreambooth.data.tags.tagging import Tagged, TaggingPlan

EXISTING = {
    "keep": "only where there is no caption",
    "refresh": "also where this program's tagger wrote it and nobody edited it since",
    "merge": "new tags behind those that are there",
    "replace": "every caption, hand-made ones too",
}
SHOWN_FILES = 20


def add(parser: argparse.ArgumentParser) -> None:
    caption_folder.add(parser)
    parser.add_argument(
        "--model", metavar="FILE.onnx", type=Path, required=True, help="a tagger of the WD14 family"
    )
    parser.add_argument(
        "--tags",
        metavar="FILE.csv",
        type=Path,
        help="its list of tags (default: the csv of the model's name, or selected_tags.csv, beside it)",
    )
    parser.add_argument("--threshold", type=share, default=0.35, help="how sure it has to be (default 0.35)")
    parser.add_argument("--characters", action="store_true", help="write names of known characters as well")
    parser.add_argument("--character-threshold", type=share, default=0.85, help="default 0.85")
    parser.add_argument("--rating", action="store_true", help="write the rating as well")
    parser.add_argument(
        "--front", metavar="TAG", action="append", default=[], help="put this first; may be given often"
    )
    parser.add_argument(
        "--exclude", metavar="TAG", action="append", default=[], help="never write this; may be given often"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="write at most N tags")
    parser.add_argument("--underscores", action="store_true", help="long_hair, not long hair")
    parser.add_argument("--escape", action="store_true", help="write brackets as \\( \\)")
    parser.add_argument(
        "--existing",
        choices=tuple(EXISTING),
        default="keep",
        help="which captions are written: "
        + "; ".join(f"{name}: {text}" for name, text in EXISTING.items())
        + " (default keep)",
    )
    parser.add_argument("--yes", action="store_true", help="change captions that a person wrote")
    parser.add_argument("--dry-run", action="store_true", help="only say which captions would be written")
    parser.add_argument("--batch", metavar="N", type=int, default=4, help="pictures at once (default 4)")
    parser.add_argument("--threads", metavar="N", type=int, default=0, help="processor cores (default: all)")


def run(args: argparse.Namespace, out: Out) -> int:
    for flag, value, least in (
        ("--limit", args.limit, 0),
        ("--batch", args.batch, 1),
        ("--threads", args.threads, 0),
    ):
        if value < least:
            raise UserError(
                f"{value} is too small.", where=flag, todo=f"Give {least} or more.", code="bad-arguments"
            )
    tags = tag_list_of(args)
    # Only here, so that a wrong argument is said at once.
    from lib_dreambooth.data.tags.places import MOST_OPERATIONS, pictures_in
    from lib_dreambooth.data.tags.tagging import open_upright, plan_tagging, tag_pictures
    from lib_dreambooth.data.tags.wd14 import open_wd14

    folder, journal = caption_folder.folder_of(args), caption_folder.journal_of(args)
    plan = plan_tagging(pictures_in(folder), args.existing, journal)
    say_plan(out, plan)
    if args.dry_run:
        out.line("Nothing is written.")
        out.result(plan_json(plan))
        return 0
    ask(plan, args.yes)
    tagger = open_wd14(args.model, tags, args.batch, args.threads)
    with out.counting("Tagging") as tell:
        done = tag_pictures(
            plan, args.existing, tagger, choice_of(args), journal, open_upright, on_progress=tell
        )
    journal.forget(MOST_OPERATIONS)
    say_done(out, done, folder, caption_folder.undo_command(args))
    out.result(
        {
            **plan_json(plan),
            "written": done.written,
            "findings": [finding.to_json() for finding in done.findings],
        }
    )
    return 0


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def tag_list_of(args: argparse.Namespace) -> Path:
    """The tag list that is named, or lies beside the model."""
    if not args.model.is_file():
        raise FileError("there is no such model file.", where=str(args.model), todo="Choose the .onnx file.")
    if args.tags is not None:
        named: Path = args.tags
        return named
    beside = [args.model.with_suffix(".csv"), args.model.with_name("selected_tags.csv")]
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        raise FileError(
            "there is no list of tags beside the model.",
            where=str(args.model),
            todo="Put its selected_tags.csv there, or name the file with --tags.",
        )
    return found


def choice_of(args: argparse.Namespace) -> TagChoice:
    """Which of the tagger's tags are written."""
    from lib_dreambooth.data.captions.tagtext import split_tags
    from lib_dreambooth.data.tags.spelling import Spelling
    from lib_dreambooth.data.tags.tagger import TagChoice

    def separated(values: list[str]) -> tuple[str, ...]:
        return tuple(tag for value in values for tag in split_tags(value, ","))

    return TagChoice(
        args.threshold,
        args.character_threshold,
        args.characters,
        args.rating,
        separated(args.front),
        separated(args.exclude),
        args.limit,
        Spelling(args.underscores, args.escape),
    )


def ask(plan: TaggingPlan, is_allowed: bool) -> None:
    """Refuses to change what a person wrote without being told to."""
    if plan.hand_made and not is_allowed:
        raise UserError(
            f"{plan.hand_made} captions that a person wrote would be changed.",
            where="tag",
            todo="Add --yes if that is meant; `captions undo` can take it back.",
            code="would-change-captions",
        )


def say_plan(out: Out, plan: TaggingPlan) -> None:
    """How many captions will be written, and how many stay."""
    hand = f", {plan.hand_made} of them made by hand" if plan.hand_made else ""
    out.line(f"{len(plan.todo)} captions to write{hand}; {len(plan.kept)} stay as they are.")


def say_done(out: Out, done: Tagged, folder: Path, undo: str) -> None:
    """The first captions, and what went wrong."""
    from lib_dreambooth.cli.caption_edits import name, one_line, say_findings

    for path, text in list(done.written.items())[:SHOWN_FILES]:
        out.line(f"{name(path, folder)}: {one_line(text)}")
    if len(done.written) > SHOWN_FILES:
        out.line(f"and {len(done.written) - SHOWN_FILES} more")
    say_findings(out, done.findings, folder)
    out.line(f"{len(done.written)} captions were written.{f' {undo} takes it back.' if done.written else ''}")


def plan_json(plan: TaggingPlan) -> dict[str, Any]:
    """The plan for programs."""
    return {
        "to_write": [one.caption for one in plan.todo],
        "kept": [one.caption for one in plan.kept],
        "hand_made": plan.hand_made,
        "findings": [finding.to_json() for finding in plan.findings],
        "written": {},
    }
