"""What goes wrong while a run is under way, each put in by hand: no state is lost, and the sentence helps."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs import states
from lib_dreambooth.runs.events import DONE, Event, Finished, Sampled, Saved, Step, Warned
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.training.export import adapter_file, placing
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.previews.drawing import PreviewArtist
from lib_dreambooth.training.trainer import epochs, preparing, saving, stepping, work
from tests.training.made_runs import LORA, MadeRun, Order, assert_same, is_a_step, joined

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.slow]

# Four steps in two epochs; a state after each, files and samples after the second and the last.
SHORT: dict[str, Any] = joined(
    LORA,
    {
        "parts": {"text_encoder_1": {"train": False}},
        "length": {"train_for": "4 steps", "batch_size": 2},
        "saving": {"every": "2 steps", "state_every": "1 steps", "keep_states": 9},
        "previews": {"every": "2 steps"},
        "validation": {"every": "2 steps"},
    },
)
OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
ON_CARD = OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB.")
ON_CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: not enough memory: you tried")
Usage = namedtuple("Usage", "total used free")


def short(root: Path, **changes: Any) -> MadeRun:
    return MadeRun(root, joined(SHORT, changes), num_pictures=5)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    run = short(tmp_path_factory.mktemp("straight"))
    assert run.run().outcome == DONE
    return run


def failing(error: BaseException, real: Callable[..., Any], *, at: int = 1, times: int = 99) -> Any:
    """The function, which fails at its calls from number `at` on, so many times."""
    calls = itertools.count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        if at <= next(calls) < at + times:
            raise error
        return real(*args, **kwargs)

    return call


def fails(run: MadeRun, code: str) -> UserError:
    """The run ends with a sentence of this code, and told so."""
    with pytest.raises(UserError) as caught:
        run.run()
    finished = run.told(Finished)
    assert len(finished) == 1 and run.events[-1] is finished[0]
    assert finished[0].code == caught.value.code == code
    assert finished[0].todo and "Traceback" not in finished[0].what
    return caught.value


def on_step(number: int, action: Callable[[], object]) -> Callable[[Event], bool]:
    """A listener that acts once a step is told."""

    def hear(event: Event) -> bool:
        if is_a_step(event) and getattr(event, "step", 0) == number:
            action()
        return False

    return hear


def run_with(run: MadeRun, number: int, action: Callable[[], object]) -> Any:
    return run.run(Order(on_step(number, action), ()))


# Memory


@pytest.mark.parametrize(
    ("module", "name", "error", "doing"),
    [
        (preparing, "read_model", ON_CARD, "reading the model"),
        (preparing, "read_model", MemoryError(), "reading the model"),
        (stepping, "losses_of", ON_CARD, "training"),
        (Optimizer, "step", ON_CPU, "training"),
    ],
)
def test_no_memory_before_and_in_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, error: Any, doing: str
) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(module, name, failing(error, getattr(module, name)))
    told = fails(run, "out-of-memory")
    assert doing in told.what and ("computer" in told.what) == (error is not ON_CARD)
    assert run.states == []
    monkeypatch.undo()
    assert run.run().outcome == DONE


def test_no_memory_while_pictures_are_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = short(tmp_path)
    real = epochs.latent_encoder
    monkeypatch.setattr(epochs, "latent_encoder", lambda *given: failing(ON_CPU, real(*given), at=3))
    told = fails(run, "out-of-memory")
    assert "encoding pictures" in told.what and run.told(Step) == []
    monkeypatch.undo()
    assert run.run().outcome == DONE


def test_no_memory_in_a_later_step_keeps_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path, saving={"state_every": "never"})
    monkeypatch.setattr(stepping, "losses_of", failing(ON_CARD, stepping.losses_of, at=4))
    fails(run, "out-of-memory")
    assert [(event.what, event.step) for event in run.told(Saved)] == [("result", 2), ("state", 3)]
    monkeypatch.undo()
    assert run.go_on().outcome == DONE
    assert_same(run.state(), straight.state())


def test_no_memory_while_weights_move_keeps_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(Optimizer, "step", failing(ON_CARD, Optimizer.step, at=3))
    fails(run, "out-of-memory")
    assert run.states == ["step-00000001", "step-00000002"]
    monkeypatch.undo()
    run.go_on()
    assert_same(run.state(), straight.state())


@pytest.mark.parametrize("error", [ON_CARD, RuntimeError(""), AttributeError("of a library")])
def test_failed_samples_are_told_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun, error: Exception
) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(PreviewArtist, "draw", failing(error, PreviewArtist.draw))
    assert run.run().outcome == DONE
    assert run.warnings() == ["out-of-memory" if error is ON_CARD else "preview-failed"]
    assert not run.told(Sampled) and run.told(Warned)[0].where == "previews"
    assert_same(run.state(), straight.state())


def test_no_memory_in_a_save_or_a_measurement_is_told_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(Attached, "export", failing(ON_CARD, Attached.export, at=2, times=1))
    monkeypatch.setattr(work, "measure", failing(ON_CPU, work.measure, times=1))
    assert run.run().outcome == DONE
    assert run.warnings() == ["out-of-memory", "out-of-memory"]
    assert [(e.what, e.step) for e in run.told(Saved) if e.what == "result"] == [("result", 4)]
    assert_same(run.state(), straight.state())


# Disks


def full(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_during_a_save_costs_that_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(
        states,
        "write_fully",
        failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), states.write_fully, at=2, times=1),
    )
    assert run.run().outcome == DONE
    assert run.warnings() == ["disk-full"]
    assert len(run.states) == 3 and not [name for name in run.states if name.startswith(".")]
    assert_same(run.state(), straight.state())


def test_a_full_disk_at_the_end_is_an_error_after_all_else_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path, previews={"at_end": True})
    monkeypatch.setattr(adapter_file, "write_safetensors", full)
    told = fails(run, "disk-full")
    assert "Lora" in told.where and run.files() == []
    assert run.told(Sampled)[-1].step == 4
    assert not list((run.library.models / "Lora").rglob(".*"))
    # The state of the end is there, so that only the file is missing.
    assert_same(run.state(), straight.state())
    monkeypatch.undo()
    assert run.go_on().outcome == DONE and len(run.files()) == 1


def test_too_little_space_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(states.shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 10**4))
    told = fails(run, "disk-full")
    assert "MB" in told.what or "GB" in told.what
    assert run.told(Step) == [] and run.states == []


def test_too_little_space_for_the_next_save_is_said_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short(tmp_path)
    real = shutil.disk_usage

    def fill() -> None:
        monkeypatch.setattr(states.shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 10**4))

    def free() -> None:
        monkeypatch.setattr(states.shutil, "disk_usage", real)

    orders = Order(on_step(2, fill), ()), Order(on_step(3, free), ())
    assert run.run(*orders).outcome == DONE
    # The file and the state of the second step.
    assert run.warnings() == ["disk-full", "disk-full"]
    assert run.states == ["step-00000001", "step-00000003", "step-00000004"]


def test_a_file_that_another_program_holds_gets_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path)
    held: list[str] = []
    replace, rename = placing.replace, Path.rename

    def replace_unless_held(source: Path, target: Path) -> None:
        if not held and target.suffix == ".safetensors":
            held.append(target.name)
            raise PermissionError(errno.EACCES, "held", str(target))
        replace(source, target)

    def rename_unless_held(self: Path, target: Path) -> Path:
        if Path(target).name == "step-00000004":
            raise PermissionError(errno.EACCES, "held", str(target))
        return rename(self, target)

    monkeypatch.setattr(placing, "replace", replace_unless_held)
    monkeypatch.setattr(Path, "rename", rename_unless_held)
    monkeypatch.setattr(states, "RENAME_WAITS_S", (0.0, 0.0))
    assert run.run().outcome == DONE
    names = [path.name for path in run.files()]
    assert len(names) == 2 and held and held[0] not in names
    assert run.states[-1] == "step-00000004-2"
    assert_same(run.state(), straight.state())


def test_folders_that_somebody_removes_are_made_again(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path)

    def remove() -> None:
        for folder in (run.library.models / "Lora", run.folder.states_dir, run.folder.samples_dir):
            shutil.rmtree(folder)

    assert run_with(run, 3, remove).outcome == DONE
    assert [path.stem[-6:] for path in run.files()] == ["000004"]
    assert run.states == ["step-00000003", "step-00000004"]
    assert run.warnings() == []
    assert_same(run.state(), straight.state())


# Numbers


def test_a_loss_that_is_no_number_ends_the_run_before_it_moves_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path)
    real, calls = stepping.losses_of, itertools.count(1)

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        losses = real(*args, **kwargs)
        if next(calls) == 3:
            object.__setattr__(losses, "total", losses.total * float("nan"))
        return losses

    monkeypatch.setattr(stepping, "losses_of", spoilt)
    told = fails(run, "not-finite")
    assert "step 3" in told.what and run.told(Finished)[0].step == 2
    assert run.states == ["step-00000001", "step-00000002"]
    monkeypatch.undo()
    assert run.go_on().outcome == DONE
    assert_same(run.state(), straight.state())


def test_weights_that_are_no_numbers_never_take_a_good_states_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path, saving={"keep_states": 1})
    real, calls = Optimizer.step, itertools.count(1)

    def spoil(self: Optimizer, *args: Any, **named: Any) -> None:
        real(self, *args, **named)
        if next(calls) == 2:
            self.movers[0].parameters()[0].data.fill_(float("nan"))

    monkeypatch.setattr(Optimizer, "step", spoil)
    told = fails(run, "not-finite")
    assert "step 3" in told.what
    assert set(run.warnings()) == {"not-finite"} and run.states == ["step-00000001"]
    assert len(run.told(Saved)) == 1
    monkeypatch.undo()
    run.go_on()
    assert_same(run.state(), straight.state())


def test_a_picture_that_becomes_no_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encoder(*given: object) -> Any:
        return lambda pixels: (torch.full((1, 4, 8, 8), float("nan")), torch.ones(1, 4, 8, 8))

    run = short(tmp_path)
    monkeypatch.setattr(epochs, "latent_encoder", encoder)
    told = fails(run, "vae-not-finite")
    assert told.where.endswith(".png") and run.told(Step) == []


# Pictures


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_picture_that_breaks_on_the_way_is_left_out(tmp_path: Path, batch_size: int) -> None:
    run = short(
        tmp_path,
        memory={"cache_latents": "off", "workers": 0},
        length={"batch_size": batch_size, "train_for": "8 steps"},
        validation={"every": "never"},
    )
    broken = run.pictures / "zwx-2.png"
    assert run_with(run, 1, lambda: broken.write_bytes(b"no picture")).outcome == DONE
    told = [event for event in run.told(Warned) if event.where.endswith(broken.name)]
    assert len(told) == 1 and "left out" in told[0].text
    assert len(run.told(Step)) == 8 and run.told(Finished)[0].outcome == DONE


def test_a_run_without_any_picture_left_keeps_what_was_trained(tmp_path: Path) -> None:
    run = short(tmp_path, memory={"cache_latents": "off", "workers": 0}, saving={"state_every": "never"})

    def remove() -> None:
        for path in run.pictures.glob("*.png"):
            path.unlink()

    with pytest.raises(UserError) as caught:
        run_with(run, 1, remove)
    assert caught.value.where.endswith(".png")
    assert [(event.what, event.step, event.reason) for event in run.told(Saved)] == [("state", 1, "rescued")]


def test_a_cache_that_somebody_empties_is_made_up_for(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path, memory={"cache_latents": "disk", "workers": 0})

    def remove() -> None:
        for path in (run.folder.cache_dir / "latents").glob("*"):
            path.write_bytes(b"")

    assert run_with(run, 1, remove).outcome == DONE
    assert run.warnings() == []
    assert_same(run.state(), straight.state())


# Clocks and listeners


def test_a_clock_that_goes_backwards_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: MadeRun
) -> None:
    run = short(tmp_path, saving={"state_every": "1 steps"})
    moments: Iterator[int] = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    monkeypatch.setattr("time.time_ns", lambda: next(moments) * 10**9)
    monkeypatch.setattr(EventLog.__init__, "__defaults__", (lambda: float(next(moments)),))
    assert run.run().outcome == DONE
    sequences = [event.sequence for event in run.events]
    times = [event.time for event in run.events]
    assert sequences == sorted(sequences) and times == sorted(times, reverse=True)
    assert run.newest().step == 4
    assert_same(run.state(), straight.state())


def test_a_listener_that_raises_never_ends_a_run(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path)

    def broken(event: Event) -> None:
        raise KeyError("mine")

    job = run.first()
    job.listeners = (broken, *job.listeners)
    assert job.run().outcome == DONE
    assert run.warnings() == ["listener-failed"]
    assert_same(run.state(), straight.state())


def test_a_mistake_of_ours_is_told_as_one_and_keeps_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short(tmp_path, saving={"state_every": "never"})
    monkeypatch.setattr(saving.Saver, "files", failing(ZeroDivisionError("ours"), saving.Saver.files))
    with pytest.raises(ZeroDivisionError) as caught:
        run.run()
    assert any(entry.name == "save" for entry in caught.traceback)
    assert run.told(Finished)[0].code == "internal-error"
    assert run.states == ["step-00000002"]


def test_ctrl_c_ends_as_a_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = short(tmp_path)
    monkeypatch.setattr(stepping, "losses_of", failing(KeyboardInterrupt(), stepping.losses_of, at=2))
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.told(Finished)[0].outcome == "cancelled" and run.states == ["step-00000001"]
