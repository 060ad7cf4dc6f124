"""The actions of `captions` that look for something or change it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli.caption_folder import folder_of, journal_of, undo_command
from lib_dreambooth.cli.output import Out
from lib_dreambooth.data.captions.read import caption_lines
from lib_dreambooth.data.captions.tagtext import split_tags, tag_key
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.tags import edits
from lib_dreambooth.data.tags.places import MOST_OPERATIONS, pictures_in
from lib_dreambooth.data.tags.planning import (
    EditPlan,
    Planned,
    apply_plan,
    caption_files,
    plan_edit,
    read_texts,
)
from lib_dreambooth.data.tags.pruning import Proposal, as_edit, propose_by_folder

SHOWN_FILES = 20


def find(args: argparse.Namespace, out: Out) -> int:
    """Every caption that holds the text."""
    folder = folder_of(args)
    texts, findings = texts_of(caption_files(pictures_in(folder)))
    if args.tag:
        hits = dict.fromkeys(edits.find_tag(texts, args.text, args.separator), 1)
    else:
        hits = dict(Counter(found.path for found in edits.find_text(texts, args.text, args.pattern)))
    shown = list(hits) if args.all else list(hits)[:SHOWN_FILES]
    for path in shown:
        out.line(f"{name(path, folder)}: {one_line(texts[path])}")
    say_rest(out, len(hits) - len(shown))
    out.line(f"{len(hits)} of {len(texts)} captions hold it, {sum(hits.values())} times in all.")
    say_findings(out, findings, folder)
    rows = [{"path": path, "count": count, "text": texts[path]} for path, count in hits.items()]
    out.result({"found": rows, "captions": len(texts), "findings": [f.to_json() for f in findings]})
    return 0


def replace(args: argparse.Namespace, out: Out) -> int:
    """One text or tag by another."""
    if args.tag:
        edit: Callable[[str], str] = edits.ReplaceTags({args.old: args.new}, args.separator)
    else:
        edit = edits.ReplaceText(args.old, args.new, args.pattern, args.ignore_case)
    return edit_all(args, out, edit, f"Replace {args.old} by {args.new}")


def add_tags(args: argparse.Namespace, out: Out) -> int:
    """Tags where they are missing."""
    tags = separated(args.tags, args.separator)
    edit = edits.AddTags(tags, "back" if args.back else "front", args.separator)
    return edit_all(args, out, edit, f"Add {', '.join(tags)}", create=args.create)


def remove(args: argparse.Namespace, out: Out) -> int:
    """Tags wherever they stand."""
    tags = tuple(args.tags) if args.pattern else separated(args.tags, args.separator)
    edit = edits.RemoveTags(tags, args.pattern, args.separator)
    return edit_all(args, out, edit, f"Remove {', '.join(tags)}")


def reorder(args: argparse.Namespace, out: Out) -> int:
    """Tags in another order."""
    texts, _ = texts_of(caption_files(pictures_in(folder_of(args))))
    counts = Counter(
        tag_key(tag)
        for text in texts.values()
        for line in caption_lines(text)
        for tag in split_tags(line, args.separator)
    )
    front = separated(args.front, args.separator)
    rest = args.rest.replace("-", " ")
    if args.keep < 0:
        raise UserError("is less than nothing.", where="--keep", todo="Give 0 or more.", code="bad-arguments")
    edit = edits.ReorderTags(front, rest, counts, args.keep, args.separator)
    return edit_all(args, out, edit, "Reorder tags")


def prune(args: argparse.Namespace, out: Out) -> int:
    """What might go, by folder, and the edit that takes it out."""
    folder = folder_of(args)
    texts, findings = texts_of(caption_files(pictures_in(folder)))
    triggers = separated(args.trigger, args.separator)
    proposed = propose_by_folder(texts, triggers, args.separator)
    only = {tag_key(tag) for tag in separated(args.only, args.separator)}
    chosen = {place: taken(proposals, only) for place, proposals in proposed.items()}
    for place, proposals in proposed.items():
        say_proposals(out, visible_line(Path(place).name), proposals, chosen[place])
    planned: list[Planned] = []
    for place, proposals in chosen.items():
        paths = [path for path in texts if str(Path(path).parent) == place]
        plan = plan_edit(paths, as_edit(proposals, args.separator), "")
        planned += plan.planned
        findings += plan.findings
    whole = EditPlan("Prune tags", tuple(planned), tuple(dict.fromkeys(findings)))
    rows = [
        proposal_row(place, proposal, proposal in chosen[place])
        for place, proposals in proposed.items()
        for proposal in proposals
    ]
    return finish(args, out, whole, len(texts), {"proposals": rows})


def taken(proposals: Sequence[Proposal], only: set[str]) -> list[Proposal]:
    """The proposals to follow: those named, else those that would be made unasked."""
    return [p for p in proposals if (p.tag in only if only else p.is_recommended)]


def say_proposals(out: Out, folder: str, proposals: Sequence[Proposal], chosen: Sequence[Proposal]) -> None:
    """A folder's proposals with their reasons."""
    out.line(f"{folder}   (* would be taken out)")
    rows = []
    for one in proposals:
        why = f"{one.why} (`{one.by}`)" if one.by else one.why
        rows.append(
            ("*" if one in chosen else " ", visible_line(one.tag), f"{one.count} of {one.total}", why)
        )
    out.table(rows, indent="  ")
    out.line()


def proposal_row(place: str, proposal: Proposal, is_chosen: bool) -> dict[str, Any]:
    """A proposal for programs."""
    return {
        "folder": place,
        "tag": proposal.tag,
        "count": proposal.count,
        "total": proposal.total,
        "reason": proposal.reason,
        "why": proposal.why,
        "by": proposal.by,
        "is_recommended": proposal.is_recommended,
        "is_chosen": is_chosen,
    }


def edit_all(
    args: argparse.Namespace, out: Out, edit: Callable[[str], str], action: str, *, create: bool = False
) -> int:
    """Plans one edit over the whole folder, shows it, and makes it where that was asked for."""
    paths = caption_files(pictures_in(folder_of(args)), create=create)
    return finish(args, out, plan_edit(paths, edit, action), len(paths), {})


def finish(args: argparse.Namespace, out: Out, plan: EditPlan, total: int, more: Mapping[str, Any]) -> int:
    """Shows a plan and applies it with --apply."""
    folder = folder_of(args)
    shown = plan.planned if args.all else plan.planned[:SHOWN_FILES]
    for planned in shown:
        say_change(out, planned, folder)
    say_rest(out, len(plan.planned) - len(shown))
    say_findings(out, plan.findings, folder)
    failed: dict[str, UserError] = {}
    if args.apply and plan.planned:
        journal = journal_of(args)
        failed = apply_plan(plan, journal)
        journal.forget(MOST_OPERATIONS)
    for error in failed.values():
        out.note(visible_line(error.sentence()), "red")
    out.line(verdict(plan, total, len(failed), undo_command(args) if args.apply else ""))
    files = [
        {
            "path": planned.path,
            "before": None if planned.change.before is None else planned.before,
            "after": planned.after,
            "turns_utf8": planned.turns_utf8,
        }
        for planned in plan.planned
    ]
    out.result(
        {
            "action": plan.action,
            "captions": total,
            "files": files,
            "findings": [finding.to_json() for finding in plan.findings],
            "is_applied": bool(args.apply),
            "failed": [error.to_json() for error in failed.values()],
            **more,
        }
    )
    return 1 if failed else 0


def verdict(plan: EditPlan, total: int, failed: int, undo: str) -> str:
    """The last line; without an `undo` nothing was written."""
    count = len(plan.planned)
    if not count:
        return f"Nothing to change in {total} captions."
    if not undo:
        return f"{count} of {total} captions would change. Nothing is written yet: --apply writes."
    return f"{count - failed} of {total} captions were changed. {undo} takes it back."


def say_change(out: Out, planned: Planned, folder: Path) -> None:
    """One caption before and after."""
    remark = "  (will be UTF-8: its old encoding lacks a character)" if planned.turns_utf8 else ""
    out.line(f"{name(planned.path, folder)}{remark}")
    if planned.change.before is None:
        out.line(out.paint("  (new file)", "dim"))
    else:
        out.line(out.paint(f"  - {one_line(planned.before)}", "red"))
    out.line(out.paint(f"  + {one_line(planned.after)}", "green"))


def say_rest(out: Out, count: int) -> None:
    """Says how many are not shown."""
    if count > 0:
        out.line(f"and {count} more (--all shows them)")


def say_findings(out: Out, findings: Sequence[Finding], folder: Path) -> None:
    """What was left alone, and why."""
    for finding in findings:
        names = ", ".join(name(path, folder) for path in finding.paths)
        out.note(visible_line(f"{names}: {finding.what} {finding.todo}".strip()))


def texts_of(paths: Sequence[str]) -> tuple[dict[str, str], list[Finding]]:
    """The captions' texts, and those that could not be read."""
    texts, findings = read_texts([path for path in paths if not path.lower().endswith(".json")])
    return {path: decoded.text for path, (_, decoded) in texts.items()}, findings


def separated(values: Sequence[str], separator: str) -> tuple[str, ...]:
    """Tags given one by one or several in one argument."""
    return tuple(tag for value in values for tag in split_tags(value, separator))


def name(path: str, folder: Path) -> str:
    """A file as it is called inside the folder."""
    place = Path(path)
    return visible_line(str(place.relative_to(folder) if place.is_relative_to(folder) else place))


def one_line(text: str) -> str:
    """A caption on one line."""
    return visible_line(text.strip().replace("\r\n", "\n").replace("\r", "\n"))
