"""Finding a Python: where version managers and installers put it, and whether it can make an environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lib_dreambooth.environments import pythons

HERE = (sys.version_info[0], sys.version_info[1])


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    return path


def names(home: Path, environ: dict[str, str]) -> list[str]:
    found = pythons.candidates((3, 10), {"PATH": "", **environ}, home)
    return [path.relative_to(home).as_posix() for path in found if path.is_relative_to(home)]


def test_the_running_python_is_taken_if_it_fits() -> None:
    assert pythons.find(HERE) == Path(sys.executable)


def test_pyenv_newest_patch_first(tmp_path: Path) -> None:
    for version in ("3.10.2", "3.10.13", "3.11.7", "3.10.9"):
        touch(tmp_path / ".pyenv" / "versions" / version / "bin" / "python3.10")
    assert names(tmp_path, {}) == [
        ".pyenv/versions/3.10.13/bin/python3.10",
        ".pyenv/versions/3.10.9/bin/python3.10",
        ".pyenv/versions/3.10.2/bin/python3.10",
    ]


def test_pyenv_elsewhere(tmp_path: Path) -> None:
    touch(tmp_path / "pyenv" / "versions" / "3.10.6" / "bin" / "python3.10")
    assert names(tmp_path, {"PYENV_ROOT": str(tmp_path / "pyenv")}) == [
        "pyenv/versions/3.10.6/bin/python3.10"
    ]


@pytest.mark.parametrize(
    ("file", "environ"),
    [
        (".pyenv/pyenv-win/versions/3.10.11/python.exe", {}),
        (".local/share/uv/python/cpython-3.10.14-linux-x86_64-gnu/bin/python3.10", {}),
        ("managed/cpython-3.10.14-macos-aarch64-none/bin/python3.10", {"UV_PYTHON_INSTALL_DIR": "managed"}),
        ("Roaming/uv/python/cpython-3.10.14-windows-x86_64-none/python.exe", {"APPDATA": "Roaming"}),
        ("Local/Programs/Python/Python310/python.exe", {"LOCALAPPDATA": "Local"}),
        ("Program Files/Python310/python.exe", {"ProgramFiles": "Program Files"}),
    ],
)
def test_other_managers_and_installers(tmp_path: Path, file: str, environ: dict[str, str]) -> None:
    touch(tmp_path / file)
    assert names(tmp_path, {name: str(tmp_path / value) for name, value in environ.items()}) == [file]


def test_conda_environments_are_read_from_its_list(tmp_path: Path) -> None:
    touch(tmp_path / "conda" / "envs" / "sd" / "bin" / "python3.10")
    listed = touch(tmp_path / ".conda" / "environments.txt")
    listed.write_text(f"{tmp_path / 'conda' / 'envs' / 'sd'}\n\n{tmp_path / 'gone'}\n", encoding="utf-8")
    assert names(tmp_path, {}) == ["conda/envs/sd/bin/python3.10"]


def test_names_on_path(tmp_path: Path) -> None:
    name = "python3.10.exe" if sys.platform == "win32" else "python3.10"
    touch(tmp_path / "bin" / name).chmod(0o755)
    assert names(tmp_path, {"PATH": str(tmp_path / "bin")}) == [f"bin/{name}"]


def test_a_probe_asks_the_file_itself(tmp_path: Path) -> None:
    assert pythons.probe(Path(sys.executable), HERE)
    assert not pythons.probe(Path(sys.executable), (3, 9))
    assert not pythons.probe(tmp_path / "nothing", HERE)
    broken = touch(tmp_path / "broken")
    broken.chmod(0o755)
    assert not pythons.probe(broken, HERE)


def test_what_cannot_make_an_environment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, right = tmp_path / "a", tmp_path / "b"
    asked = []

    def probe(path: Path, version: pythons.Version) -> bool:
        asked.append(path)
        return path == right

    monkeypatch.setattr(pythons, "candidates", lambda *_: [wrong, wrong, right, tmp_path / "c"])
    monkeypatch.setattr(pythons, "probe", probe)
    assert pythons.find((2, 6)) == right
    assert asked == [wrong, right]


@pytest.mark.parametrize(
    ("platform", "words"),
    [("win32", "winget install Python.Python.3.10"), ("darwin", "brew"), ("linux", "pyenv")],
)
def test_how_to_get_one(platform: str, words: str) -> None:
    assert words in pythons.how_to_get((3, 10), platform)


@pytest.mark.parametrize(
    ("version", "expected"),
    [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False), ((4, 0), False)],
)
def test_supported_versions(version: tuple[int, int], expected: bool) -> None:
    assert pythons.is_supported(version) is expected
