"""Who may import whom: the table of docs/architecture.md, held by reading every import."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lib_dreambooth"

ROWS = {
    "base": 0,
    "environments": 1,
    "runs": 1, "settings": 1, "formats": 1, "diffusion": 1,
    "models": 2, "data": 2, "adapters": 2,
    "sampling": 3,
    "training": 4, "forecast": 4, "tools": 4,
    "jobs": 5,
    "ui": 6, "api": 6, "cli": 6,
    "hosts": 7,
    "app": 8,
    "__main__": 9,
}  # fmt: skip

# `assets` names its data files for everybody; the scripts beside them that made the files may use all of the
# package, and nothing imports them.
THIRD_PARTY: dict[str, set[str]] = {
    "base": set(),
    "environments": set(),
    # tomllib: standard library from Python 3.11 on.
    "settings": {"msgspec", "tomlkit", "tomllib", "tomli"},
    "formats": {"torch", "numpy", "safetensors"},
    "diffusion": {"torch", "numpy"},
    "runs": {"torch"},
    "models": {"torch", "numpy", "PIL", "xformers"},
    "data": {"torch", "numpy", "PIL", "onnxruntime"},
    "adapters": {"torch", "numpy", "lycoris"},
    "sampling": {"torch", "numpy", "PIL"},
    "training": {
        "torch",
        "numpy",
        "tensorboardX",
        "pytorch_optimizer",
        "bitsandbytes",
        "accelerate",
        "wandb",
    },
    "forecast": {"torch", "numpy"},
    "tools": {"torch", "numpy"},
    "jobs": {"huggingface_hub"},
    "ui": {"gradio"},
    "api": {"fastapi", "msgspec"},
    "cli": {"argparse", "tqdm"},
    "hosts": {"gradio", "fastapi", "uvicorn", "modules"},
    "app": set(),
    "__main__": set(),
}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "assets" not in p.relative_to(PACKAGE).parts)


def owner(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import; name the package"
            found.append((node.lineno, node.module or ""))
    return found


def may_import(here: str, other: str, name: str) -> bool:
    if other == "assets":
        # The drawn world is data in the form of code; whole jobs may show something on it.
        is_shapes = name.startswith("lib_dreambooth.assets.shapes")
        return name == "lib_dreambooth.assets" or (is_shapes and ROWS[here] >= ROWS["jobs"])
    return other in ("__init__", here) or ROWS[other] < ROWS[here] or (here == "runs" and ROWS[other] == 1)


def violations(path: Path) -> list[str]:
    here = owner(path)
    if here == "__init__":
        return []
    assert here in ROWS, f"{path}: {here} has no row in the table"
    found = []
    for line, name in imports_of(path):
        top = name.split(".")[0]
        if top == "lib_dreambooth":
            other = name.split(".")[1] if "." in name else "__init__"
            allowed = may_import(here, other, name)
        elif top in sys.stdlib_module_names or top == "__future__":
            allowed = True
        else:
            allowed = top in THIRD_PARTY[here]
        if not allowed:
            found.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_stay_inside_the_table(path: Path) -> None:
    assert violations(path) == []


def test_the_test_sees_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "settings" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "import torch\n"
        "from lib_dreambooth.training import loop\n"
        "from lib_dreambooth.assets import ASSETS_DIR\n"
        "from lib_dreambooth.assets.make_mini import progress\n",
        encoding="utf-8",
    )
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [v.split(" imports ")[1] for v in violations(bad)] == [
        "torch",
        "lib_dreambooth.training",
        "lib_dreambooth.assets.make_mini",
    ]


def test_the_architecture_page_shows_the_same_rows() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = {
        line.split("|")[1].strip(): line.split("|")[2] for line in page.splitlines() if line.startswith("| ")
    }
    for package, row in ROWS.items():
        if package != "assets":
            assert f"`{package}`" in lines[str(row)], f"{package} is not in row {row} of docs/architecture.md"
