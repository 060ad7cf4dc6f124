"""Every code of a finding stands in the guide, and the guide names no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("health", "captions")
# The editor's and the tagger's own findings are answers to an action and not part of the report.


def codes_in(path: Path) -> set[str]:
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    made = [
        call for call in calls if getattr(call.func, "id", "") in ("Finding", "_duplicates") and call.args
    ]
    first = [call.args[0] for call in made]
    return {arg.value for arg in first if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}


def test_codes_and_guide_agree() -> None:
    data = ROOT / "lib_dreambooth" / "data"
    made = {code for folder in FOLDERS for path in (data / folder).glob("*.py") for code in codes_in(path)}
    # Chosen between in a variable, and by a table of damage.
    made |= {"near-duplicate", "mirrored-duplicate"}
    made |= {"caption-nul-bytes", "caption-undecodable", "caption-encoding-unsure"}
    guide = (ROOT / "docs" / "dataset-health.md").read_text(encoding="utf-8")
    first_cells = [row.split("|")[1] for row in guide.splitlines() if row.startswith("| `")]
    named = {code for cell in first_cells for code in re.findall(r"`([^`]+)`", cell)}
    assert named == made
