"""Curves outside: what they hold, and that a missing library is a sentence and never an end."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.runs.events import Event, Finished, Phase, Step, Validated, Warned
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.logs.points import finite_points, points
from lib_dreambooth.training.logs.smoothing import Smoothed
from lib_dreambooth.training.logs.starting import outside_logs, shareable

STEP = Step(
    step=10,
    epoch=0.5,
    loss=0.25,
    smoothed=0.3,
    rates={"unet": 1e-4},
    grad_norm=2.0,
    steps_per_second=1.5,
    memory={"allocated": 2_000_000_000},
    weight_norms={"unet": 3.0},
)


def a_run(**changes: Any) -> Run:
    base = settings.read({"model": {"base": "/home/somebody/base.safetensors"}}).run
    return settings.replace(base, {f"logging.{name}": value for name, value in changes.items()})


def train(tmp_path: Path, run: Run, *events: Event) -> list[Event]:
    """Tells the events to the logs that the run asks for; gives everything that was told."""
    with EventLog(tmp_path / "events.jsonl") as log:
        with outside_logs(run, log, model_name="ねこ", logs_dir=tmp_path / "logs", run_id="r1"):
            for event in events:
                log.emit(event)
        log.emit(Phase(name="after"))
    return read_events(tmp_path / "events.jsonl")


def warnings(events: list[Event]) -> list[Warned]:
    return [event for event in events if isinstance(event, Warned)]


def scalars_in(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves in TensorBoard files, read record by record."""
    from tensorboardX.proto.event_pb2 import Event as Record

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        data, position = path.read_bytes(), 0
        while position < len(data):
            length = int.from_bytes(data[position : position + 8], "little")
            record = Record.FromString(data[position + 12 : position + 12 + length])
            position += 16 + length
            for value in record.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((record.step, value.simple_value))
    return found


def test_a_step_as_points() -> None:
    assert points(STEP) == {
        "loss/step": 0.25,
        "epoch": 0.5,
        "loss/smoothed": 0.3,
        "gradient/norm": 2.0,
        "speed/steps_per_second": 1.5,
        "rate/unet": 1e-4,
        "weights/unet": 3.0,
        "memory/allocated_gb": 2.0,
    }
    assert points(Validated(step=1, curves={"class": 0.1})) == {"validation/class": 0.1}
    assert points(Phase(name="caching")) == {}
    assert "loss/step" not in finite_points(Step(step=1, loss=math.nan))


def test_without_wishes_nothing_is_written(tmp_path: Path) -> None:
    assert warnings(train(tmp_path, a_run(), STEP)) == []
    assert not (tmp_path / "logs").exists()


@pytest.mark.needs("tensorboardX")
def test_tensorboard_files_hold_the_curves(tmp_path: Path) -> None:
    events = [
        STEP,
        Validated(step=10, curves={"held out": 0.5}),
        Step(step=20, loss=0.125),
        Finished(outcome="done", step=20),
    ]
    assert warnings(train(tmp_path, a_run(tensorboard=True), *events)) == []
    found = scalars_in(tmp_path / "logs" / "r1")
    assert found["loss/step"] == [(10, 0.25), (20, 0.125)]
    assert found["validation/held_out"] == [(10, 0.5)]
    assert found["rate/unet"] == [(10, pytest.approx(1e-4))]


@pytest.mark.needs("tensorboardX")
def test_tensorboard_files_go_where_the_user_says(tmp_path: Path) -> None:
    train(tmp_path, a_run(tensorboard=True, folder=str(tmp_path / "board")), STEP)
    assert scalars_in(tmp_path / "board" / "ねこ" / "r1")["loss/step"] == [(10, 0.25)]
    assert not (tmp_path / "logs").exists()


@pytest.mark.needs("tensorboardX")
def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    events = train(tmp_path, a_run(tensorboard=True, folder=str(tmp_path / "file")), STEP)
    assert [(one.where, one.code) for one in warnings(events)] == [("logging.folder", "not-writable")]
    assert any(isinstance(event, Step) for event in events)


@pytest.mark.parametrize(
    ("changes", "package", "where"),
    [
        ({"tensorboard": True}, "tensorboardX", "logging.tensorboard"),
        ({"wandb": "cats"}, "wandb", "logging.wandb"),
    ],
)
def test_a_missing_library_is_a_warning_and_never_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], package: str, where: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    events = train(tmp_path, a_run(**changes), STEP)
    (told,) = warnings(events)
    assert (told.where, told.code) == (where, "missing-package") and package in told.text
    assert any(isinstance(event, Step) for event in events)


class FakeRun:
    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []
        self.summary: dict[str, str] = {}
        self.is_finished = False

    def define_metric(self, name: str, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "step")

    def log(self, values: dict[str, float]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.is_finished = True


class FakeSettings:
    """Knows some of the settings, as every version of the real one does."""

    console = "wrap"
    disable_git = False
    _disable_meta = False

    def __init__(self, **values: Any) -> None:
        assert all(hasattr(self, name) for name in values)
        self.values = values


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in with the calls that are made of the real one."""
    fake: Any = types.ModuleType("wandb")
    fake.run = FakeRun()
    fake.errors = types.SimpleNamespace(Error=type("Error", (Exception,), {}))

    def init(**arguments: Any) -> FakeRun:
        fake.arguments = arguments
        return fake.run  # type: ignore[no-any-return]

    fake.init = init
    fake.is_known = True
    fake.login = lambda *, prompt: fake.is_known and not prompt
    fake.Settings = FakeSettings
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_wandb_gets_numbers_and_no_path(tmp_path: Path, wandb: Any) -> None:
    run = a_run(wandb="cats", wandb_run="first")
    train(tmp_path, run, STEP, Step(step=20, loss=math.nan), Finished(outcome="done", step=20))
    assert (wandb.arguments["project"], wandb.arguments["name"], wandb.arguments["id"]) == (
        "cats",
        "first",
        "r1",
    )
    assert wandb.run.logged == [{**points(STEP), "step": 10}, {"epoch": 0.0, "step": 20}]
    assert wandb.run.summary == {"outcome": "done"} and wandb.run.is_finished
    assert "somebody" not in repr(wandb.arguments["config"])
    assert wandb.arguments["config"]["network.rank"] == run.network.rank


def test_a_run_without_a_name_is_called_as_the_model(tmp_path: Path, wandb: Any) -> None:
    train(tmp_path, a_run(wandb="cats"), STEP)
    assert wandb.arguments["name"] == "ねこ"


def test_wandb_that_refuses_is_a_warning(tmp_path: Path, wandb: Any) -> None:
    def refuse(**arguments: Any) -> None:
        raise wandb.errors.Error("not logged in")

    wandb.init = refuse
    (told,) = warnings(train(tmp_path, a_run(wandb="cats"), STEP))
    assert told.code == "wandb-failed" and "not logged in" in told.text


def test_wandb_sends_nothing_of_the_machine(tmp_path: Path, wandb: Any) -> None:
    train(tmp_path, a_run(wandb="cats"), STEP)
    assert wandb.arguments["settings"].values == {
        "console": "off",
        "disable_git": True,
        "_disable_meta": True,
    }


def test_without_a_login_nobody_is_asked_for_one(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb.is_known = False
    (told,) = warnings(train(tmp_path, a_run(wandb="cats"), STEP))
    assert told.code == "wandb-failed" and "logged in" in told.text
    assert not hasattr(wandb, "arguments")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert warnings(train(tmp_path, a_run(wandb="cats"), STEP))[1:] == []
    assert wandb.run.is_finished


@pytest.mark.parametrize(("key", "codes"), [("k", []), (None, ["wandb-failed"])])
def test_an_older_wandb_is_asked_in_its_own_way(
    tmp_path: Path, wandb: Any, key: str | None, codes: list[str]
) -> None:
    wandb.login = lambda: None
    wandb.api = types.SimpleNamespace(api_key=key)
    assert [one.code for one in warnings(train(tmp_path, a_run(wandb="cats"), STEP))] == codes


class Broken:
    """A package that raises while it is imported, as those built for another protobuf do."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("tensorboardX", "wandb"):
            raise TypeError("Descriptors cannot be created directly.")


@pytest.mark.parametrize(
    ("package", "changes", "where"),
    [
        ("tensorboardX", {"tensorboard": True}, "logging.tensorboard"),
        ("wandb", {"wandb": "cats"}, "logging.wandb"),
    ],
)
def test_a_library_that_cannot_be_imported_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, changes: dict[str, Any], where: str
) -> None:
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    events = train(tmp_path, a_run(**changes), STEP)
    (told,) = warnings(events)
    assert (told.where, told.code) == (where, "log-not-started") and "Descriptors" in told.text
    assert any(isinstance(event, Step) for event in events)


def test_wandb_that_breaks_in_the_middle_ends_nothing(tmp_path: Path, wandb: Any) -> None:
    def broken(values: dict[str, float]) -> None:
        raise ConnectionError("gone")

    wandb.run.log = broken
    wandb.run.finish = lambda: 1 / 0
    events = train(tmp_path, a_run(wandb="cats"), STEP, STEP)
    assert [one.code for one in warnings(events)] == ["listener-failed", "log-not-closed"]


def test_shared_settings_hold_no_chosen_files() -> None:
    assert "model.base" not in shareable(a_run())
    assert "logging.folder" not in shareable(a_run(folder="/home/somebody"))


def test_the_smooth_curve_begins_as_a_mean_and_then_forgets() -> None:
    smooth = Smoothed(4)
    assert [smooth.add(value) for value in (1.0, 3.0, 2.0)] == [1.0, 2.0, 2.0]
    smooth.add(2.0)
    assert smooth.add(6.0) == 3.0
    assert smooth.add(math.nan) == 3.0 and smooth.add(math.inf) == 3.0


def test_the_smooth_curve_goes_on_from_its_state() -> None:
    values = [0.1 * number for number in range(20)]
    straight = Smoothed(7)
    expected = [straight.add(value) for value in values]
    first, second = Smoothed(7), Smoothed(7)
    found = [first.add(value) for value in values[:9]]
    second.load(first.state())
    assert found + [second.add(value) for value in values[9:]] == expected
