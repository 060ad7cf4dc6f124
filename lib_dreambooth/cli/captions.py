"""The command `captions`: finds and edits over the captions of a folder, shown first, with undo."""

from __future__ import annotations

import argparse

from lib_dreambooth.cli import caption_edits, caption_folder, caption_journal
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.parser import Parser


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)

    part = actions.add_parser("find", help="the captions that hold a text or a tag")
    common(part)
    part.add_argument("text", metavar="TEXT")
    part.add_argument("--tag", action="store_true", help="TEXT is a whole tag, in any spelling")
    part.add_argument("--pattern", action="store_true", help="TEXT is a regular expression")
    part.set_defaults(handler=caption_edits.find)

    part = actions.add_parser("replace", help="one text or tag by another")
    editing(part)
    part.add_argument("old", metavar="OLD")
    part.add_argument("new", metavar="NEW")
    part.add_argument("--tag", action="store_true", help="OLD is a whole tag, in any spelling")
    part.add_argument("--pattern", action="store_true", help="OLD is a regular expression, NEW may use \\1")
    part.add_argument("--ignore-case", action="store_true", help="upper and lower case are the same")
    part.set_defaults(handler=caption_edits.replace)

    part = actions.add_parser("add", help="tags where they are missing")
    editing(part)
    part.add_argument("tags", metavar="TAG", nargs="+", help='one or more, also as "TAG, TAG"')
    part.add_argument("--back", action="store_true", help="at the end; without it in front")
    part.add_argument("--create", action="store_true", help="also for pictures without a caption")
    part.set_defaults(handler=caption_edits.add_tags)

    part = actions.add_parser("remove", help="tags wherever they stand")
    editing(part)
    part.add_argument("tags", metavar="TAG", nargs="+", help='one or more, also as "TAG, TAG"')
    part.add_argument("--pattern", action="store_true", help="each TAG is a regular expression")
    part.set_defaults(handler=caption_edits.remove)

    part = actions.add_parser("reorder", help="tags to the front, the others by name or by how common")
    editing(part)
    part.add_argument("--front", metavar="TAG", action="append", default=[], help="may be given often")
    part.add_argument("--rest", choices=("as-is", "by-name", "by-count"), default="as-is")
    part.add_argument("--keep", metavar="N", type=int, default=0, help="the first N tags stay where they are")
    part.set_defaults(handler=caption_edits.reorder)

    part = actions.add_parser("prune", help="tags that might better go, each with its reason")
    editing(part)
    part.add_argument("--trigger", metavar="TAG", action="append", default=[], help="never proposed")
    part.add_argument(
        "--only", metavar="TAG", action="append", default=[], help="of the proposals, take these alone"
    )
    part.set_defaults(handler=caption_edits.prune)

    part = actions.add_parser("undo", help="takes back the last edit, or that with a number")
    caption_folder.add(part)
    part.add_argument("number", metavar="NUMBER", nargs="?", type=int, help="as `captions history` shows it")
    part.add_argument("--redo", action="store_true", help="makes an undone edit again")
    part.set_defaults(handler=caption_journal.undo)

    part = actions.add_parser("history", help="the edits that can be taken back")
    caption_folder.add(part)
    part.set_defaults(handler=caption_journal.history)


def common(parser: argparse.ArgumentParser) -> None:
    """The arguments of every action that reads captions."""
    caption_folder.add(parser)
    parser.add_argument("--separator", metavar="SIGN", default=",", help="what stands between tags")
    parser.add_argument("--all", action="store_true", help="show every caption, not only the first ones")


def editing(parser: argparse.ArgumentParser) -> None:
    """The arguments of every action that may write."""
    common(parser)
    parser.add_argument("--apply", action="store_true", help="write; without it only the plan is shown")


def run(args: argparse.Namespace, out: Out) -> int:
    result: int = args.handler(args, out)
    return result
