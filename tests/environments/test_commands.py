"""run.py from the outside: Pythons it runs on, what it hands to its child, and what it gives back."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import children, commands, known, testing, venvs

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
OLD_PYTHONS = sorted(
    path
    for path in (Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions").glob(
        "*/bin/python"
    )
    if path.parents[1].name.startswith(("2.7.", "3.6.", "3.8.", "3.9."))
)


@pytest.mark.parametrize("script", ["run.py", "install.py"])
def test_the_scripts_can_be_read_by_old_pythons(script: str) -> None:
    source = (ROOT / script).read_text(encoding="ascii")
    ast.parse(source, feature_version=(3, 4))
    tree = ast.walk(ast.parse(source))
    assert not [
        n for n in tree if isinstance(n, (ast.JoinedStr, ast.AnnAssign)) or getattr(n, "returns", None)
    ]


@pytest.mark.parametrize("python", OLD_PYTHONS, ids=lambda path: path.parents[1].name)
def test_an_old_python_gets_a_sentence(python: Path) -> None:
    short = ".".join(python.parents[1].name.split(".")[:2])
    for script, code, words in (
        ("run.py", 2, f"This is Python {short}"),
        ("install.py", 0, "training is off"),
    ):
        done = subprocess.run([str(python), str(ROOT / script)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, "")
        assert words in done.stdout
        assert "3.10" in done.stdout


def test_it_starts_from_any_folder_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    checkout = tmp_path / "絵 画"
    for part in ("run.py", "install.py", "lib_dreambooth/__init__.py"):
        (checkout / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, checkout / part)
    for package in ("base", "environments"):
        shutil.copytree(ROOT / "lib_dreambooth" / package, checkout / "lib_dreambooth" / package)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "mine").write_text("", encoding="utf-8")

    # -S: no site-packages. ASCII: the narrowest pipe there is.
    def start(script: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-S", str(checkout / script)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        return done.returncode, done.stdout, done.stderr

    code, out, err = start("run.py")
    assert (code, err) == (2, "")
    assert "this folder was not made by run.py" in out
    code, out, err = start("install.py")
    assert (code, err) == (0, "")
    assert out.startswith("Dreambooth: training: off. This Python has no torch")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose environment is there already: this Python."""
    monkeypatch.setattr(venvs, "ready", lambda place, layers, say: Path(sys.executable))
    return tmp_path


def test_the_command_gets_its_arguments_and_the_users_folder(
    made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (made / "run.py").write_text(
        "import os, sys; print(os.getcwd(), sys.argv[1:]); sys.exit(7)", encoding="utf-8"
    )
    folder = made / "a b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert commands.main(["train", "x y.toml", "--set", "a.b=ü"], print, made) == 7
    assert capfd.readouterr().out == f"{folder} ['train', 'x y.toml', '--set', 'a.b=ü']\n"


def test_help_needs_no_environment(tmp_path: Path) -> None:
    said: list[str] = []
    assert commands.main(["--help"], said.append, tmp_path) == 0
    assert "a1111-1.10.1" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_a_problem_is_one_sentence_and_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Path:
        raise UserError("The disk is full.", todo="Free some space.")

    monkeypatch.setattr(venvs, "ready", fail)
    said: list[str] = []
    assert commands.main(["ui"], said.append, tmp_path) == 2
    assert said == ["The disk is full. Free some space."]


def test_ctrl_c_while_making_is_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(venvs, "ready", interrupted)
    assert commands.main(["ui"], lambda _: None, tmp_path) == 130


def test_inside_its_environment_it_runs_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / known.STANDALONE.folder))
    monkeypatch.setattr(sys, "argv", ["kept"])
    ran = []
    monkeypatch.setattr(commands.runpy, "run_module", lambda name, **_: ran.append((name, list(sys.argv))))
    assert commands.main(["inspect", "x"], print, tmp_path) == 0
    assert ran == [("lib_dreambooth", ["run.py", "inspect", "x"])]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (130, 130),
        (-signal.SIGINT, 130),
        (-15, 143),
        (0xC000013A, 130),
        (-1073741510, 130),
    ],
)
def test_exit_codes_mean_the_same_everywhere(code: int, expected: int) -> None:
    assert children.exit_code(code) == expected


SLOW_TO_STOP = """
import signal, sys, time
def stop(*_):
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(5)
signal.signal(signal.{name}, stop)
print("started", flush=True)
time.sleep(30)
"""

PARENT = "import sys; from lib_dreambooth.environments import children; sys.exit(children.run(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals between processes are not Windows' way")
@pytest.mark.parametrize(("name", "to_group"), [("SIGINT", True), ("SIGTERM", False)])
def test_a_stop_waits_for_the_child_to_save(name: str, to_group: bool) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, sys.executable, "-c", SLOW_TO_STOP.format(name=name)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    number = getattr(signal, name)
    if to_group:
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    assert parent.stdout.read() == "saved\n"
    assert parent.wait() == 5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], testing.Request(None, False, ())),
        (["--fast"], testing.Request(None, True, ())),
        (["--host", "a1111-1.10.1"], testing.Request("a1111-1.10.1", False, ())),
        (["--host=a1111-1.10.1", "--fast", "-k", "x"], testing.Request("a1111-1.10.1", True, ("-k", "x"))),
        (["tests/base", "-x"], testing.Request(None, False, ("tests/base", "-x"))),
    ],
)
def test_our_options_of_test_are_taken_out(words: list[str], expected: testing.Request) -> None:
    assert testing.parse(words) == expected


def test_under_a_host_s_packages_slow_tests_that_depend_on_none_are_left_out() -> None:
    once = ["-m", "not (slow and once)"]
    assert testing.pytest_arguments(testing.Request("a1111-1.10.1", False, ()))[:2] == once
    for whole in (testing.Request(None, False, ()), testing.Request("a1111-1.10.1", False, ("tests/base",))):
        assert "-m" not in testing.pytest_arguments(whole)


@pytest.mark.parametrize("words", [["--host"], ["--host", "forge"], ["--host=forge"]])
def test_an_unknown_host_is_refused_with_the_known_ones(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"Known: a1111-1\.10\.1\."):
        testing.parse(words)


def ran(
    monkeypatch: pytest.MonkeyPatch, codes: dict[str, int], arguments: list[str]
) -> tuple[int, list[str], list[str]]:
    """Runs `test` with children that only note their command: exit code, commands, what was said."""
    commands_run: list[str] = []
    said: list[str] = []

    def run(command: list[str], **_: object) -> int:
        commands_run.append(" ".join(command[2:]))
        return codes.get(command[2], 0)

    monkeypatch.setattr(children, "run", run)
    monkeypatch.setattr(testing.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(venvs, "ready", lambda place, layers, say: Path("python"))
    return testing.run(ROOT, arguments, said.append), commands_run, said


def test_everything_is_checked_before_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    code, commands_run, _ = ran(monkeypatch, {}, [])
    assert code == 0
    assert commands_run == ["ruff format --check", "ruff check", "mypy", "pytest -n 2 --dist worksteal"]


def test_a_failed_check_fails_the_whole_and_is_named_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    code, commands_run, said = ran(monkeypatch, {"mypy": 1}, ["--fast"])
    assert code == 1
    assert commands_run[-1] == "pytest -m not slow and not network -n 2 --dist worksteal"
    assert said[-1] == "Failed before the tests: types (see above)."


def test_failed_tests_give_their_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(monkeypatch, {"pytest": 3}, [])[0] == 3


def test_named_tests_run_alone_and_a_host_runs_only_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(monkeypatch, {}, ["tests/base", "-x"])[1] == ["pytest tests/base -x"]
    (of_host,) = ran(monkeypatch, {}, ["--host", "a1111-1.10.1"])[1]
    assert of_host == "pytest -m not (slow and once) -n 2 --dist worksteal"


@pytest.mark.slow
@pytest.mark.skipif(
    os.name == "nt", reason="kills as only POSIX does; the lock and the mark are tested everywhere"
)
def test_two_starts_and_a_kill_in_the_middle(tmp_path: Path) -> None:
    """The real thing at small size: a lock of one package, killed while pip runs, then started twice."""
    checkout = small_checkout(tmp_path)
    command = [sys.executable, str(checkout / "start.py")]
    first = subprocess.Popen(command, cwd=checkout, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (checkout / ".venv" / "install.log").exists():
        assert first.poll() is None, "it ended before pip began"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    starts = [subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [start.communicate(timeout=300)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    assert sorted("not whole; making it again" in text for text in said) == [False, True]
    assert all(text.endswith("tiny 1.0\n") for text in said)

    third = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert third.stdout == "tiny 1.0\n"


def small_checkout(folder: Path) -> Path:
    """A folder with one wheel, a lock that names it, and a start that makes the environment and asks it."""
    from tests.environments.wheels import make_wheel

    checkout = folder / "checkout"
    checkout.mkdir()
    wheel = make_wheel(folder, "tiny", "1.0")
    (checkout / "lock.txt").write_text(f"--no-index\n{wheel.as_posix()}\n", encoding="utf-8")
    (checkout / "start.py").write_text(
        f"import subprocess, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from lib_dreambooth.environments import places, venvs\n"
        "layer = places.Layer('packages', 'lock.txt')\n"
        "environment = places.Environment('small', '.venv', (layer,), (), 1)\n"
        "def say(line): print(line, flush=True)\n"
        "python = venvs.ready(places.Place(environment, Path.cwd()), [layer], say)\n"
        'code = \'import importlib.metadata as m; print("tiny", m.version("tiny"))\'\n'
        "sys.exit(subprocess.call([str(python), '-c', code]))\n",
        encoding="utf-8",
    )
    return checkout
