"""Runs install.py in an environment as a WebUI does, and keeps what was installed before and after."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import notes, pip
from lib_dreambooth.environments.places import Layer, Place


def run_installer(place: Place, layer: Layer, lock: BinaryIO) -> None:
    """Runs install.py as a WebUI does, and keeps a list of what was installed before and after."""
    take_back(place, layer, lock)
    before = listed(place)
    # As a URL: pip reads several files from this variable, with spaces between them.
    constraints = {"PIP_CONSTRAINT": (place.root / layer.lock).resolve().as_uri()}
    code = pip.run([str(place.python), str(place.root / "install.py")], lock=lock, environ=constraints)
    assert code == 0, f"install.py ended with {code}"
    after = listed(place)
    absent = sorted(lock_names(place.root / layer.lock) - {normal(name) for name in after})
    if absent:
        raise UserError(
            f"install.py could not add {', '.join(absent)}; its reason is above.",
            todo="Start again.",
            code="pip-failed",
        )
    files.write_json(record_path(place, layer), {"before": before, "after": after})


def record_path(place: Place, layer: Layer) -> Path:
    """Where the two lists are kept."""
    return place.folder / f"{layer.name}.json"


def take_back(place: Place, layer: Layer, lock: BinaryIO) -> None:
    """Removes what an earlier run added, and forgets what it could not have: the host as it was."""
    (place.root / notes.FILE_NAME).unlink(missing_ok=True)
    record = record_path(place, layer)
    if record.is_file():
        lists = json.loads(record.read_text(encoding="utf-8"))
        added = {normal(name) for name in lists["after"] if name not in lists["before"]}
        # What the lock names too: a layer above may have brought it first, the host never did.
        ours = sorted(added | lock_names(place.root / layer.lock))
        pip.run([str(place.python), "-m", "pip", "uninstall", "-q", "-y", *ours], lock=lock)


LIST = (
    "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
)


def listed(place: Place) -> dict[str, str]:
    """Every distribution in the environment, with its version."""
    done = subprocess.run(
        [str(place.python), "-I", "-c", LIST],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(sorted(json.loads(done.stdout).items(), key=lambda pair: pair[0].lower()))


def normal(name: str) -> str:
    """A distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_names(lock: Path) -> set[str]:
    """The names in a lock, without those for other systems."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return {normal(line.split("==")[0]) for line in lines if "==" in line and ";" not in line}
