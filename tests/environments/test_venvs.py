"""Making, updating and repairing an environment, its slow parts replaced by some that can be interrupted."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import choosing, known, notes, pip, places, pythons, recorded, venvs

LAYERS = (places.Layer("packages", "a.txt"), places.Layer("tests", "b.txt"))
ENVIRONMENT = places.Environment(
    "standalone", ".venv", base=LAYERS[:1], for_tests=LAYERS[1:], needed_bytes=1, python=None
)


class Workshop:
    """Stands in for venv and pip: notes what is done, and stops where it is told to."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = places.Place(ENVIRONMENT, root)
        self.done: list[str] = []
        self.compiled: list[int] = []
        self.said: list[str] = []
        self.stop_at = ""
        (root / "a.txt").write_text("a==1\n", encoding="utf-8")
        (root / "b.txt").write_text("b==1\n", encoding="utf-8")
        monkeypatch.setattr(venvs, "create", self.create)
        monkeypatch.setattr(venvs, "install_layer", self.install)
        monkeypatch.setattr(venvs, "compile_all", lambda place, lock: self.compiled.append(len(self.done)))

    def create(self, place: places.Place, python: Path, say: venvs.Say, lock: object) -> None:
        assert not place.folder.exists()
        venvs.files.write_json(place.mark, {"state": "making", "layers": {}})
        self.step("create")
        place.python.parent.mkdir(parents=True)
        place.python.write_text("", encoding="utf-8")
        (place.folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}\n", encoding="utf-8")

    def install(self, place: places.Place, layer: places.Layer, lock: object) -> None:
        (place.folder / "site").mkdir(exist_ok=True)
        self.step(layer.name)

    def step(self, name: str) -> None:
        self.done.append(name)
        if name == self.stop_at:
            raise KeyboardInterrupt

    def ready(self, count: int = 2) -> list[str]:
        self.done = []
        venvs.ready(self.place, LAYERS[:count], self.said.append)
        return self.done


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def test_the_second_start_does_nothing(workshop: Workshop) -> None:
    assert workshop.ready() == ["create", "packages", "tests"]
    workshop.said.clear()
    assert workshop.ready() == []
    assert workshop.said == []


def test_bytecode_is_made_once_after_all_layers(workshop: Workshop) -> None:
    assert len(workshop.ready()) == 3
    assert workshop.ready() == []
    assert workshop.compiled == [3]


def test_bytecode_is_made_of_what_can_be_read(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(places.Place, "python", Path(sys.executable))
    site = workshop.place.folder / "lib"
    site.mkdir(parents=True)
    (site / "good.py").write_text("x = 1\n", encoding="utf-8")
    (site / "template.py").write_text("class {{ name }}:\n", encoding="utf-8")
    with (tmp_path / "lock").open("w+b") as lock:
        venvs.compile_all(workshop.place, lock)
    assert [path.name.split(".")[0] for path in site.glob("__pycache__/*")] == ["good"]


def test_layers_are_added_when_they_are_asked_for(workshop: Workshop) -> None:
    assert workshop.ready(1) == ["create", "packages"]
    assert workshop.ready(2) == ["tests"]
    assert workshop.ready(1) == []


def test_only_a_changed_lock_is_installed_again(workshop: Workshop) -> None:
    workshop.ready()
    (workshop.place.root / "a.txt").write_text("a==2\n", encoding="utf-8")
    assert workshop.ready() == ["packages"]
    assert workshop.ready() == []


@pytest.mark.parametrize("where", ["create", "packages", "tests"])
def test_an_interrupted_making_begins_again(workshop: Workshop, where: str) -> None:
    workshop.stop_at = where
    with pytest.raises(KeyboardInterrupt):
        workshop.ready()
    workshop.stop_at = ""
    assert workshop.ready() == ["create", "packages", "tests"]
    assert any("not whole" in line for line in workshop.said)
    assert workshop.ready() == []


def test_an_interrupted_update_begins_again(workshop: Workshop) -> None:
    workshop.ready()
    (workshop.place.root / "b.txt").write_text("b==2\n", encoding="utf-8")
    workshop.stop_at = "tests"
    with pytest.raises(KeyboardInterrupt):
        workshop.ready()
    workshop.stop_at = ""
    assert workshop.ready() == ["create", "packages", "tests"]


def test_an_interrupted_removal_begins_again(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.ready()
    workshop.place.mark.write_text(json.dumps({"state": "making", "layers": {}}), encoding="utf-8")
    remove_tree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        workshop.ready()
    monkeypatch.setattr(shutil, "rmtree", remove_tree)
    assert workshop.ready() == ["create", "packages", "tests"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda place: place.python.unlink(),
        lambda place: place.mark.write_text("{", encoding="utf-8"),
        lambda place: place.mark.write_text("[1]", encoding="utf-8"),
        lambda place: (place.folder / "pyvenv.cfg").write_text("home = /no/such/python\n", encoding="utf-8"),
        lambda place: (place.folder / "pyvenv.cfg").unlink(),
    ],
    ids=["no python", "torn mark", "strange mark", "its Python was removed", "no configuration"],
)
def test_a_damaged_folder_is_made_again(workshop: Workshop, damage: Callable[[places.Place], object]) -> None:
    workshop.ready()
    damage(workshop.place)
    assert workshop.ready() == ["create", "packages", "tests"]


def test_a_folder_of_the_users_is_left_alone(workshop: Workshop) -> None:
    kept = workshop.place.folder / "lib" / "mine.py"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        workshop.ready()
    assert caught.value.code == "foreign-environment"
    assert kept.read_text(encoding="utf-8") == "mine"
    assert workshop.done == []


def test_no_space_is_said_before_anything_is_made(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(workshop.place.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(UserError) as caught:
        workshop.ready()
    assert caught.value.code == "disk-full"
    assert not workshop.place.folder.exists()


def test_a_failing_install_is_not_taken_for_whole(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise pip.failure("Temporary failure in name resolution", 1, where="log")

    monkeypatch.setattr(venvs, "install_layer", fail)
    with pytest.raises(UserError) as caught:
        workshop.ready()
    assert caught.value.code == "no-network"
    monkeypatch.setattr(venvs, "install_layer", workshop.install)
    assert workshop.ready() == ["create", "packages", "tests"]


def test_a_disk_that_filled_up_gets_its_space_back(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(place: places.Place, layer: places.Layer, lock: object) -> None:
        workshop.install(place, layer, lock)
        monkeypatch.setattr(venvs.files, "write_json", no_space)
        raise pip.failure("[Errno 28] No space left on device", 1, where="log")

    def no_space(path: Path, value: object) -> None:
        raise pip.failure("[Errno 28] No space left on device", 1, where=str(path))

    monkeypatch.setattr(venvs, "install_layer", fail)
    with pytest.raises(UserError) as caught:
        workshop.ready()
    assert caught.value.code == "disk-full"
    assert not workshop.place.folder.exists()


def test_a_python_that_cannot_make_environments(tmp_path: Path) -> None:
    place = places.Place(ENVIRONMENT, tmp_path)
    fake = [sys.executable, "-c", "print('ensurepip is not available'); raise SystemExit(1)"]
    run = venvs.subprocess.run
    with pytest.MonkeyPatch.context() as patched, (tmp_path / "lock").open("w+b") as lock:
        patched.setattr(venvs.subprocess, "run", lambda _, **options: run(fake, **options))
        with pytest.raises(UserError) as caught:
            venvs.create(place, Path(sys.executable), lambda _: None, lock)
    assert caught.value.code == "no-venv"
    assert "python3-venv" in caught.value.sentence()


def running(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]) -> None:
    monkeypatch.setattr(venvs.sys, "version_info", (*version, 1, "final", 0))


def test_the_running_python_makes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, (3, 12))
    assert choosing.python_for(ENVIRONMENT, lambda _: None) == Path(sys.executable)


def test_a_newer_python_gives_way_to_one_that_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running(monkeypatch, (3, 14))
    monkeypatch.setattr(pythons, "find", lambda version: tmp_path if version == (3, 12) else None)
    said: list[str] = []
    assert choosing.python_for(ENVIRONMENT, said.append) == tmp_path
    assert said == [f"Using Python 3.12 at {tmp_path}."]


def test_no_python_that_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, (3, 14))
    monkeypatch.setattr(pythons, "find", lambda _: None)
    with pytest.raises(UserError) as caught:
        choosing.python_for(ENVIRONMENT, lambda _: None)
    assert "This is Python 3.14; 3.10 to 3.13 will do" in caught.value.sentence()


def test_a_host_without_its_python_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "find", lambda _: None)
    with pytest.raises(UserError) as caught:
        choosing.python_for(known.HOSTS["a1111-1.10.1"], lambda _: None)
    assert "a1111-1.10.1 needs Python 3.10, and none was found" in caught.value.sentence()
    assert "3.10" in caught.value.todo


def test_a_32_bit_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venvs.sys, "maxsize", 2**31 - 1)
    with pytest.raises(UserError, match="32-bit"):
        choosing.python_for(ENVIRONMENT, lambda _: None)


def test_cuda_builds_come_from_their_own_index_on_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venvs.shutil, "which", lambda name: "nvidia-smi.exe")
    monkeypatch.delenv("TORCH_INDEX_URL", raising=False)
    monkeypatch.setattr(venvs.sys, "platform", "linux")
    assert venvs.index_arguments() == []
    monkeypatch.setattr(venvs.sys, "platform", "win32")
    assert venvs.index_arguments() == ["--extra-index-url", venvs.CUDA_BUILDS]
    monkeypatch.setenv("TORCH_INDEX_URL", "https://mirror.example/cu130")
    assert venvs.index_arguments() == ["--extra-index-url", "https://mirror.example/cu130"]
    monkeypatch.setattr(venvs.shutil, "which", lambda name: None)
    assert venvs.index_arguments() == []


def test_an_installer_that_could_not_add_everything_is_a_failure(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = places.Layer("added", "a.txt", by_installer=True)
    monkeypatch.setattr(pip, "run", lambda *_, **__: 0)
    monkeypatch.setattr(recorded, "listed", lambda _: {"numpy": "1.26.2"})
    with pytest.raises(UserError, match="could not add a;"):
        recorded.run_installer(workshop.place, layer, io.BytesIO())
    assert not (workshop.place.folder / "added.json").exists()


def test_what_an_earlier_run_added_is_taken_back_first(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = places.Layer("added", "a.txt", by_installer=True)
    record = recorded.record_path(workshop.place, layer)
    record.parent.mkdir()
    record.write_text(
        json.dumps({"before": {"numpy": "1"}, "after": {"old_A": "1", "numpy": "1"}}), encoding="utf-8"
    )
    (workshop.place.root / notes.FILE_NAME).write_text("{}", encoding="utf-8")
    ran: list[list[str]] = []
    states = iter([{"numpy": "1"}, {"a": "2", "numpy": "1"}])
    monkeypatch.setattr(pip, "run", lambda command, **_: ran.append(command[1:]) or 0)
    monkeypatch.setattr(recorded, "listed", lambda _: next(states))

    recorded.run_installer(workshop.place, layer, io.BytesIO())

    # `a` is in the lock: the tests' own packages may have brought it since.
    assert ran == [
        ["-m", "pip", "uninstall", "-q", "-y", "a", "old-a"],
        [str(workshop.place.root / "install.py")],
    ]
    assert not (workshop.place.root / notes.FILE_NAME).exists()
    assert json.loads(record.read_text(encoding="utf-8"))["after"] == {"a": "2", "numpy": "1"}
