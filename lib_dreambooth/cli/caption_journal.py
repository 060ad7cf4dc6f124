"""The actions of `captions` that take edits back."""

from __future__ import annotations

import argparse

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli.caption_edits import name
from lib_dreambooth.cli.caption_folder import folder_of, journal_of
from lib_dreambooth.cli.output import Out


def undo(args: argparse.Namespace, out: Out) -> int:
    """Takes back an edit, or makes it again."""
    journal, folder = journal_of(args), folder_of(args)
    entry, done = (journal.redo if args.redo else journal.undo)(args.number)
    word = "made again" if args.redo else "taken back"
    out.line(f"{entry.number}. {visible_line(entry.action)}: {len(done.restored)} captions {word}.")
    for path in done.edited_since:
        out.note(f"{name(path, folder)}: was edited since and is left as it is.")
    for sentence in done.failed.values():
        out.note(visible_line(sentence), "red")
    out.result(
        {
            "number": entry.number,
            "action": entry.action,
            "restored": done.restored,
            "unchanged": done.unchanged,
            "edited_since": done.edited_since,
            "failed": done.failed,
        }
    )
    return 1 if done.failed else 0


def history(args: argparse.Namespace, out: Out) -> int:
    """The edits, the newest first."""
    journal = journal_of(args)
    entries = journal.entries()
    rows = [
        (
            f"{entry.number}",
            f"{len(entry.changes)} captions",
            visible_line(entry.action),
            "(taken back)" if entry.is_undone else "",
        )
        for entry in entries
    ]
    out.table(rows)
    out.line(f"{len(entries)} edits are remembered in {visible_line(str(journal.folder))}")
    listed = [
        {
            "number": entry.number,
            "action": entry.action,
            "captions": len(entry.changes),
            "is_undone": entry.is_undone,
        }
        for entry in entries
    ]
    out.result({"journal": str(journal.folder), "edits": listed})
    return 0
