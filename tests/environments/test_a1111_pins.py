"""Under AUTOMATIC1111 1.10.1's own packages: all of them are at their versions, and install.py only adds."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib_dreambooth.environments import installer, recorded
from tests.environments.test_locks import SYSTEMS, pins

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.needs("torch==2.1.2", "transformers==4.30.2", "gradio==3.41.2")

SYSTEM = {
    **SYSTEMS[1],
    "sys_platform": sys.platform,
    "platform_machine": os.uname().machine if os.name == "posix" else "AMD64",
}
PINS = "requirements/hosts/a1111-1.10.1.txt"
ADDED = "requirements/hosts/a1111-1.10.1-added.txt"


def normal(versions: dict[str, str]) -> dict[str, str]:
    return {recorded.normal(name): version for name, version in versions.items()}


def test_every_pin_of_the_host_holds() -> None:
    expected = pins(PINS, "3.10", SYSTEM)
    assert {name: importlib.metadata.version(name) for name in expected} == expected


def test_the_installer_has_nothing_left_to_do() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "install.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""


def test_making_this_environment_added_and_changed_nothing() -> None:
    record_path = Path(sys.prefix) / "added.json"
    if not record_path.exists():
        pytest.skip("this environment was not made by run.py, which keeps the lists from before and after")
    record = json.loads(record_path.read_text(encoding="utf-8"))
    before, after = normal(record["before"]), normal(record["after"])
    assert installer.changes(before, after) == []
    assert {name: version for name, version in after.items() if name not in before} == pins(
        ADDED, "3.10", SYSTEM
    )


@pytest.mark.network
@pytest.mark.slow
def test_installing_next_to_the_real_pins(tmp_path: Path) -> None:
    """install.py as it is now, with the real index, where pip sees the host's packages alone.

    The new environment holds the metadata of each package of the host, copied from this one, and none of our
    additions: what pip reads to decide is what it would read in the WebUI.
    """
    python = layered(tmp_path)
    before = listed(python)
    assert {name: before.get(name) for name in pins(PINS, "3.10", SYSTEM)} == pins(PINS, "3.10", SYSTEM)

    checkout = tmp_path / "extension"
    shutil.copytree(ROOT / "lib_dreambooth" / "environments", checkout / "lib_dreambooth" / "environments")
    shutil.copytree(ROOT / "lib_dreambooth" / "base", checkout / "lib_dreambooth" / "base")
    shutil.copy(ROOT / "lib_dreambooth" / "__init__.py", checkout / "lib_dreambooth")
    shutil.copy(ROOT / "install.py", checkout)
    done = subprocess.run(
        [str(python), str(checkout / "install.py")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PIP_CONSTRAINT": (ROOT / ADDED).as_uri()},
    )
    if "index cannot be reached" in done.stdout and not os.environ.get("CI"):
        pytest.skip("no network: the package index cannot be reached")

    after = listed(python)
    assert installer.changes(before, after) == [], done.stdout
    assert {name: version for name, version in after.items() if name not in before} == pins(
        ADDED, "3.10", SYSTEM
    )
    assert "off." not in done.stdout


def layered(folder: Path) -> Path:
    """A new environment in which, as far as pip can tell, the host's packages and none of ours are."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    shown = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = Path(shown.stdout.strip())
    # The host pins setuptools too; the one that came with the environment goes.
    subprocess.run([str(python), "-m", "pip", "uninstall", "-q", "-y", "setuptools"], check=True)
    for name in pins(PINS, "3.10", SYSTEM):
        distribution = importlib.metadata.distribution(name)
        source = Path(str(distribution.locate_file(""))) / metadata_folder(distribution)
        target = site / source.name
        if not target.exists():
            shutil.copytree(source, target)
    return python


def metadata_folder(distribution: importlib.metadata.Distribution) -> str:
    """`numpy-1.26.2.dist-info`, or the egg-info that an old package has."""
    path = distribution._path  # type: ignore[attr-defined]
    return path.name


def listed(python: Path) -> dict[str, str]:
    done = subprocess.run(
        [str(python), "-I", "-c", recorded.LIST], capture_output=True, text=True, check=True
    )
    return normal(json.loads(done.stdout))
