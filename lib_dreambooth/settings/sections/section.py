"""What every section is."""

from __future__ import annotations

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen group of settings; the first line of its docstring is its description everywhere."""
