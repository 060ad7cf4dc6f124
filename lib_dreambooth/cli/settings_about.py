"""What settings there are."""

from __future__ import annotations

import argparse
import json
import textwrap

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import write_text
from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.allowed import allowed
from lib_dreambooth.settings.convert import plain, shown
from lib_dreambooth.settings.fields import Field, all_fields, all_groups, fields_by_path
from lib_dreambooth.settings.json_schema import field_schema, json_schema
from lib_dreambooth.settings.nearest import paths_for
from lib_dreambooth.settings.reference import page, said

WIDTH = 100


def list_all(args: argparse.Namespace, out: Out) -> int:
    """Every setting, by section."""
    wanted = (args.section or "").strip(".").lower()
    fields = [
        field
        for field in all_fields()
        if (field.option.basic or not args.basic)
        and (not wanted or field.group.path == wanted or field.group.path.startswith(f"{wanted}."))
    ]
    if not fields and wanted:
        names = ", ".join(group.path for group in all_groups())
        raise UserError(
            f'there is no section "{wanted}".', todo=f"There are: {names}.", code="unknown-section"
        )
    for group in all_groups():
        rows = [(f.path, shown(f.default), f.option.label) for f in fields if f.group is group]
        if rows:
            out.line(out.paint(group.title, "bold"))
            out.table(rows, indent="  ")
    out.result({"settings": [field_json(field) for field in fields]})
    return 0


def find(args: argparse.Namespace, out: Out) -> int:
    """Settings by a name in any tool, or by a word of their label or help."""
    word = " ".join(args.word).strip().lower()
    by_name = [fields_by_path()[path] for path in paths_for(word)]
    by_text = [
        field
        for field in all_fields()
        if field not in by_name
        and any(word in text.lower() for text in (field.path, field.option.label, field.option.help))
    ]
    # A name found as such needs no others beside it.
    fields = by_name or by_text
    if not fields:
        what = f'no setting is known as "{word}".'
        raise UserError(what, todo="`settings list` shows all.", code="unknown-setting")
    for field in fields:
        describe(field, out)
    out.result({"settings": [field_json(field) for field in fields]})
    return 0


def describe(field: Field, out: Out) -> None:
    """One setting in full."""
    out.line(f"{out.paint(field.path, 'bold')}  {field.option.label}")
    text = (
        f"{' '.join(said(field)).replace('*', '')} Default: {shown(field.default)}. May be {allowed(field)}."
    )
    for line in textwrap.wrap(text, WIDTH):
        out.line(f"  {line}")
    names = [f"kohya: {', '.join(field.option.kohya)}"] if field.option.kohya else []
    names += [f"old extension: {', '.join(field.option.old)}"] if field.option.old else []
    if names:
        out.line(f"  {'; '.join(names)}")


def field_json(field: Field) -> dict[str, object]:
    """One setting for programs."""
    return {
        "path": field.path,
        "default": plain(field.default),
        "allowed": allowed(field),
        **field_schema(field),
    }


def docs(args: argparse.Namespace, out: Out) -> int:
    """Writes the reference, or compares it."""
    text = page()
    written = args.to.read_text(encoding="utf-8") if args.to.is_file() else ""
    is_current = written == text
    if args.check:
        out.line(f"{args.to}: {'up to date' if is_current else 'out of date'}")
        out.result({"file": str(args.to), "up_to_date": is_current})
        return 0 if is_current else 1
    if not is_current:
        write_text(args.to, text)
    out.line(f"{args.to}: {'unchanged' if is_current else 'written'}")
    out.result({"file": str(args.to), "written": not is_current})
    return 0


def schema(args: argparse.Namespace, out: Out) -> int:
    """The JSON schema, in text too."""
    made = json_schema()
    out.line(json.dumps(made, ensure_ascii=False, indent=2))
    out.result(made)
    return 0
