"""A launch that has nothing to add looks at a few folders' times, and notices whatever has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib_dreambooth.environments import installer, settled
from lib_dreambooth.environments.additions import Host
from tests.environments.test_installer import ROOT, WHOLE, without


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(folder)])
    return folder


def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> Path:
    monkeypatch.setattr(installer, "this_host", lambda: Host((3, 10), installed))
    monkeypatch.setattr(installer, "is_forbidden", lambda: True)
    kept = tmp_path / "settled"
    installer.run(lambda line: None, tmp_path / "notes.json", kept)
    return kept


def test_nothing_left_to_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: Path) -> None:
    kept = launch(tmp_path, monkeypatch, WHOLE)
    assert settled.is_settled(str(kept))


@pytest.mark.parametrize("missing", ["tomlkit", "bitsandbytes"])
def test_something_left_to_add(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: Path
) -> None:
    assert not settled.is_settled(str(launch(tmp_path, monkeypatch, without(missing))))


def test_a_package_comes_or_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: Path) -> None:
    kept = launch(tmp_path, monkeypatch, WHOLE)
    before = packages.stat()
    (packages / "torch-2.2.0.dist-info").mkdir()
    # However coarse a file system's clock is.
    os.utime(packages, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    assert not settled.is_settled(str(kept))


def test_another_python_or_another_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: Path
) -> None:
    kept = launch(tmp_path, monkeypatch, WHOLE)
    with monkeypatch.context() as other:
        other.setattr(sys, "version", "3.12.0")
        assert not settled.is_settled(str(kept))
    with monkeypatch.context() as other:
        table = tmp_path / "additions.py"
        table.write_text("", encoding="utf-8")
        other.setattr(settled, "TABLE", str(table))
        assert not settled.is_settled(str(kept))
    assert settled.is_settled(str(kept))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"nonsense"])
def test_what_cannot_be_read_settles_nothing(content: bytes, tmp_path: Path) -> None:
    kept = tmp_path / "settled"
    assert not settled.is_settled(str(kept))
    kept.write_bytes(content)
    assert not settled.is_settled(str(kept))


def test_without_a_folder_of_packages_nothing_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: Path
) -> None:
    packages.rmdir()
    assert not settled.is_settled(str(launch(tmp_path, monkeypatch, WHOLE)))


def test_it_brings_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); from lib_dreambooth.environments import settled; "
        "print(*sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    heavy = {"importlib.metadata", "pathlib", "re", "subprocess", "json", "dataclasses"}
    assert not heavy & set(ended.stdout.split())
