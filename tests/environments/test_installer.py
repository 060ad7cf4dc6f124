"""install.py: what it asks of pip, what it says, and that the real pip cannot change what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lib_dreambooth.environments import additions, installer, recorded
from lib_dreambooth.environments.additions import Host
from tests.environments.test_additions import A1111
from tests.environments.wheels import make_wheel

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    **A1111,
    **{each.package.name: each.version for each in additions.plan(Host((3, 10), A1111)).add},
}


class Pip:
    """Stands in for pip: answers by what is asked for, and notes it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: dict[str, str]) -> None:
        self.refusals = refusals
        self.asked: list[list[str]] = []
        self.constraints = ""
        monkeypatch.setattr(installer.subprocess, "run", self.run)

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.constraints = Path(command[command.index("--constraint") + 1]).read_text(encoding="utf-8")
        wanted = [word for word in command if "==" in word]
        self.asked.append(wanted)
        for word in wanted:
            if word in self.refusals:
                return subprocess.CompletedProcess(command, 1, stdout=self.refusals[word])
        return subprocess.CompletedProcess(command, 0, stdout="")


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: dict[str, str]) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(installer, "this_host", lambda: Host((3, 10), installed))
    installer.run(said.append, tmp_path / "notes.json")
    return said


def without(*names: str) -> dict[str, str]:
    return {name: version for name, version in WHOLE.items() if name not in names}


def test_nothing_missing_nothing_said_nothing_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = Pip(monkeypatch, {})
    assert run(monkeypatch, tmp_path, WHOLE) == []
    assert pip.asked == []


def test_everything_missing_is_asked_for_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = Pip(monkeypatch, {})
    said = run(monkeypatch, tmp_path, without("msgspec", "tomlkit"))
    assert pip.asked == [["msgspec==0.22.0", "tomlkit==0.14.0"]]
    assert said[-1] == "added msgspec 0.22.0, tomlkit 0.14.0"


def test_pip_is_held_to_every_installed_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = Pip(monkeypatch, {})
    run(monkeypatch, tmp_path, without("msgspec"))
    lines = pip.constraints.splitlines()
    assert f"pytest=={pytest.__version__}" in lines
    assert len(lines) == len(installer.everything_installed())


def test_one_that_cannot_be_had_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pip = Pip(
        monkeypatch,
        {"bitsandbytes==0.45.5": "ERROR: No matching distribution found for bitsandbytes==0.45.5"},
    )
    said = run(monkeypatch, tmp_path, without("msgspec", "bitsandbytes"))
    assert pip.asked[1:] == [["msgspec==0.22.0"], ["bitsandbytes==0.45.5"]]
    assert "added msgspec 0.22.0" in said
    assert said[-1] == (
        "8-bit optimizers: off. bitsandbytes==0.45.5 could not be installed. "
        "The package index has no file of it for this Python and system."
    )


def test_without_a_network_it_asks_once_and_then_not_for_a_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pip = Pip(
        monkeypatch, {"bitsandbytes==0.45.5": "NewConnectionError: Temporary failure in name resolution"}
    )
    said = run(monkeypatch, tmp_path, without("toml", "bitsandbytes", "lycoris-lora"))
    assert len(pip.asked) == 1
    assert [line.split(":")[0] for line in said[1:]] == [
        "8-bit optimizers",
        "LoHa, LoKr, (IA)3, DoRA, OFT and GLoRA",
    ]
    again = run(monkeypatch, tmp_path, without("bitsandbytes", "lycoris-lora"))
    assert len(pip.asked) == 1
    assert again[0] == (
        "8-bit optimizers: off. The package index cannot be reached. Check the network (and the proxy or "
        "mirror, if pip is set up with one) and start again. "
        "It is tried again a day after the last try."
    )


def test_a_conflict_is_named_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Pip(monkeypatch, {"msgspec==0.22.0": "ERROR: ResolutionImpossible: for help visit ..."})
    said = run(monkeypatch, tmp_path, without("msgspec"))
    assert said[-1] == (
        "training: off. msgspec==0.22.0 could not be installed. "
        "It asks for another version of a package that this WebUI holds."
    )


def test_skip_install_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = Pip(monkeypatch, {})
    launch = types.ModuleType("launch")
    launch.args = types.SimpleNamespace(skip_install=True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "launch", launch)
    assert run(monkeypatch, tmp_path, without("msgspec")) == [
        "not installed because of --skip-install: msgspec 0.22.0"
    ]
    assert pip.asked == []


def test_the_users_mirror_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []

    def note(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="")

    monkeypatch.setattr(installer.subprocess, "run", note)
    monkeypatch.setenv("INDEX_URL", "https://mirror.example/simple")
    run(monkeypatch, tmp_path, without("msgspec"))
    assert commands[0][-2:] == ["--index-url", "https://mirror.example/simple"]


def test_an_environment_without_pip_is_served_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(installer.shutil, "which", lambda name: "/bin/uv")
    monkeypatch.delenv("UV_PYTHON", raising=False)
    assert installer.installer_command() == ["/bin/uv", "pip"]
    assert installer.os.environ["UV_PYTHON"] == sys.executable
    monkeypatch.delenv("UV_PYTHON")


def test_versions_that_pip_cannot_read_are_left_out_of_the_constraints() -> None:
    installed = {"torch": "2.1.2+cu121", "odd": "unknown", "empty": "", "numpy": "1.26.2"}
    assert installer.constraint_lines(installed) == "numpy==1.26.2\ntorch==2.1.2+cu121\n"


def test_leftovers_of_an_interrupted_pip_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, text in (
        ("real-2.0.dist-info", "Metadata-Version: 2.1\nName: real\nVersion: 2.0\n"),
        ("~eal-1.0.dist-info", "Metadata-Version: 2.1\nName: real\nVersion: 1.0\n"),
        ("~gone-1.0.dist-info", "Metadata-Version: 2.1\nName: gone\nVersion: 1.0\n"),
        ("empty-1.0.dist-info", None),
    ):
        (tmp_path / folder).mkdir()
        if text is not None:
            (tmp_path / folder / "METADATA").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installer.everything_installed() == {"real": "2.0"}


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("ERROR: ResolutionImpossible: for help visit ...", "conflict"),
        ("  × No solution found when resolving dependencies:\n because numpy==1.26.2 ...", "conflict"),
        ("  × No solution found: Because no-such was not found in the package registry", "no-such-package"),
        (
            "× No solution found: Because bitsandbytes==0.45.5 has no wheels with a matching platform",
            "no-such-package",
        ),
        (
            "error: Failed to fetch: `https://x/`\n  Caused by: dns error: failed to lookup address",
            "no-network",
        ),
        ("ERROR: something new", "pip-failed"),
    ],
)
def test_refusals_of_pip_and_of_uv(output: str, code: str) -> None:
    assert installer.reason(output, 1).code == code


def test_changes_are_not_additions() -> None:
    before = {"a": "1", "b": "1", "c": "1"}
    assert installer.changes(before, {"a": "1", "b": "2", "d": "1"}) == ["b 1 -> 2", "c 1 -> gone"]


def test_it_says_so_if_a_version_changed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Pip(monkeypatch, {})
    states = iter([{"numpy": "1.26.2"}, {"numpy": "2.0.0"}])
    monkeypatch.setattr(installer, "everything_installed", lambda: next(states))
    said = run(monkeypatch, tmp_path, without("msgspec"))
    assert any("numpy 1.26.2 -> 2.0.0" in line for line in said)


def test_a_defect_of_ours_does_not_stop_the_webui(tmp_path: Path) -> None:
    (tmp_path / "install.py").write_text((ROOT / "install.py").read_text(encoding="ascii"), encoding="ascii")
    done = subprocess.run(
        [sys.executable, "install.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "adding packages failed; the WebUI is as it was" in done.stdout
    assert "ModuleNotFoundError" in done.stdout


PINS = {name: version for name, version in A1111.items() if name != "torch"} | {"torch": "2.1.2"}


@pytest.fixture(scope="module")
def small_host(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A WebUI's environment in small: real pip, and wheels of a few bytes under the names that matter."""
    folder = tmp_path_factory.mktemp("host")
    index = folder / "index"
    index.mkdir()
    for name, version in PINS.items():
        make_wheel(index, name, version)
    # What the index holds besides: what is to be added, and newer versions that must not come in.
    make_wheel(index, "numpy", "2.2.6")
    make_wheel(index, "torch", "2.14.0")
    make_wheel(index, "helper", "1.0")
    make_wheel(index, "lycoris-lora", "3.4.0", ["numpy", "helper", "safetensors>=0.3.1"])
    make_wheel(index, "msgspec", "0.22.0")
    make_wheel(index, "tomlkit", "0.14.0")
    make_wheel(index, "tomli", "2.5.0")
    # One that would move numpy, one that would move torch; the others are nowhere to be had.
    make_wheel(index, "pytorch-optimizer", "4.1.0", ["numpy>=2"])
    make_wheel(index, "bitsandbytes", "0.45.5", ["torch>=2.4"])
    make_wheel(index, "tensorboardx", "2.6.5", ["protobuf>=3.20", "numpy"])
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pins = [f"{name}=={version}" for name, version in PINS.items()]
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--no-index", "--find-links", str(index), *pins],
        check=True,
    )
    return python, index


def install(python: Path, index: Path, notes: Path) -> str:
    """Runs the installer in that environment as install.py does: what it said."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from lib_dreambooth.environments import installer\n"
        f"installer.run(print, Path({str(notes)!r}))\n"
    )
    done = subprocess.run(
        [str(python), "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**installer.os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)},
    )
    return done.stdout


def installed(python: Path) -> dict[str, str]:
    done = subprocess.run(
        [str(python), "-I", "-c", recorded.LIST], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_real_pip_adds_and_never_changes(small_host: tuple[Path, Path], tmp_path: Path) -> None:
    python, index = small_host
    before = installed(python)
    said = install(python, index, tmp_path / "notes.json")
    after = installed(python)

    assert installer.changes(before, after) == []
    added = {name: version for name, version in after.items() if name not in before}
    assert added == {
        "helper": "1.0",
        "lycoris-lora": "3.4.0",
        "msgspec": "0.22.0",
        "tomlkit": "0.14.0",
        "tensorboardx": "2.6.5",
        **({"tomli": "2.5.0"} if sys.version_info < (3, 11) else {}),
    }
    assert (
        "the optimizers of pytorch-optimizer: off. pytorch-optimizer==4.1.0 could not be installed. " in said
    )
    assert (
        "8-bit optimizers: off. bitsandbytes==0.45.5 could not be installed. It asks for another version"
        in said
    )
    assert (
        "the tagger: off. onnxruntime==1.23.2 could not be installed. The package index has no file" in said
    )

    # The same again, without a constraint, shows that the index would have moved both: the test can fail.
    free = subprocess.run(
        [str(python), "-m", "pip", "install", "--dry-run", "--no-index", "--find-links", str(index),
         "pytorch-optimizer==4.1.0", "bitsandbytes==0.45.5"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert "numpy-2.2.6" in free.stdout
    assert "torch-2.14.0" in free.stdout

    again = install(python, index, tmp_path / "notes.json")
    assert "adding" not in again
    assert again.count("It is tried again a day after the last try.") == 3
