"""Puts the parts together: which host, which page, which command."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """The command line; returns its exit code."""
    from lib_dreambooth.cli import program, table

    return program.main(arguments, table.ROWS)
