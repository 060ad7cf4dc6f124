"""Going on in other surroundings: what is different is said, and what would spoil the run is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.jobs.going_on import state_of
from lib_dreambooth.jobs.standing import standing_of
from lib_dreambooth.runs.commands import StopAfterStep
from lib_dreambooth.runs.events import DONE, Finished, Step, Warned
from lib_dreambooth.runs.states import TENSORS
from lib_dreambooth.training import state as saved
from tests.training.made_runs import LORA, MadeRun, assert_same, at_step, joined

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.slow]

SHORT: dict[str, Any] = joined(
    LORA,
    {
        "parts": {"text_encoder_1": {"train": False}},
        "length": {"train_for": "4 steps", "batch_size": 2},
        "saving": {"state_every": "1 steps", "keep_states": 4},
    },
)


def short(root: Path, **fields: Any) -> MadeRun:
    return MadeRun(root, SHORT, num_pictures=4, **fields)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    run = short(tmp_path_factory.mktemp("straight"))
    assert run.run().outcome == DONE
    return run


@pytest.fixture
def begun(tmp_path: Path, straight: MadeRun) -> MadeRun:
    """A run with states of its first two steps."""
    shutil.copytree(straight.root, tmp_path / "begun")
    run = short(tmp_path / "begun")
    for step in (3, 4):
        shutil.rmtree(run.folder.states_dir / f"step-{step:08d}")
    return run


def differences(run: MadeRun) -> dict[str, str]:
    """What was said to be different, by its field."""
    return {e.where: e.text for e in run.told(Warned) if e.code == "changed-on-resume"}


def refused(run: MadeRun, **changes: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        run.go_on(changes=changes)
    assert not run.told(Step)
    return caught.value


def another_base(path: Path) -> Path:
    """The miniature with one weight moved, of the same size."""
    tensors = load_file(str(MINI_CHECKPOINT))
    name = next(name for name in tensors if name.endswith("out.2.weight"))
    tensors[name] = tensors[name] + 1
    save_file(tensors, str(path), metadata={"format": "pt"})
    return path


def test_nothing_is_said_where_nothing_changed(begun: MadeRun, straight: MadeRun) -> None:
    assert begun.go_on().outcome == DONE
    assert differences(begun) == {}
    assert_same(begun.state(), straight.state())


def test_pictures_may_move_to_another_folder(begun: MadeRun, straight: MadeRun) -> None:
    assert begun.go_on(changes={"concepts.0.folder": str(begun.pictures)}).outcome == DONE
    assert differences(begun).keys() == {"concepts.0.folder"}
    assert_same(begun.state(), straight.state())


def test_another_number_of_threads_and_other_versions_are_said(
    begun: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = saved.versions_here()
    monkeypatch.setattr(saved, "versions_here", lambda: {**real, "xformers": "0.1"})
    torch.set_num_threads(2)
    assert begun.go_on().outcome == DONE
    found = differences(begun)
    assert found["threads"].startswith("threads: 1 -> 2.") and "0.1" in found["xformers"]
    assert "last digits" in found["threads"]


def test_changes_that_do_no_harm_are_said(begun: MadeRun, straight: MadeRun) -> None:
    changes = {"previews.steps": 3, "saving.keep_states": 2}
    assert begun.go_on(changes=changes).outcome == DONE
    assert differences(begun).keys() == {"previews.steps", "saving.keep_states"}
    assert_same(begun.state(), straight.state())


def test_a_longer_run_goes_on(begun: MadeRun) -> None:
    assert begun.go_on(changes={"length.train_for": "6 steps"}).step == 6
    assert "rates follow the new length" in differences(begun)["length.train_for"]


@pytest.mark.parametrize(
    ("field", "value"), [("network.rank", 8), ("draws.seed", 5), ("optimizer.name", "Lion")]
)
def test_changes_that_would_spoil_it_are_refused_before_anything_is_read(
    begun: MadeRun, field: str, value: object
) -> None:
    kept = begun.folder.settings_path.read_text(encoding="utf-8")
    error = refused(begun, **{field: value})
    assert isinstance(error, SettingsError) and [p.where for p in error.problems] == [field]
    assert begun.newest().step == 2
    # No run began: the model's settings stay those of the run that there is.
    assert not begun.events
    assert begun.folder.settings_path.read_text(encoding="utf-8") == kept


def test_other_pictures_are_refused(begun: MadeRun) -> None:
    (begun.pictures / "zwx-2.png").unlink()
    error = refused(begun, **{"concepts.0.folder": str(begun.pictures)})
    assert isinstance(error, SettingsError)
    assert {p.where for p in error.problems} == {"concepts.0.folder", "concepts"}
    assert begun.told(Finished)[-1].outcome == "failed"


def test_a_base_that_was_replaced_is_refused(tmp_path: Path) -> None:
    base = shutil.copy(MINI_CHECKPOINT, tmp_path / "base.safetensors")
    run = short(tmp_path / "run", base=Path(base))
    run.run(at_step(2, StopAfterStep()))
    run.events.clear()
    another_base(Path(base))
    with pytest.raises(UserError) as caught:
        run.go_on()
    assert caught.value.code == "base-replaced" and caught.value.where.endswith("base.safetensors")
    assert not run.told(Step)
    shutil.copy(MINI_CHECKPOINT, base)
    assert run.go_on().outcome == DONE


def test_a_state_from_another_base_is_refused(begun: MadeRun, tmp_path: Path) -> None:
    other = short(tmp_path / "other", base=another_base(tmp_path / "other.safetensors"))
    state = begun.newest()
    job = other.first()
    job.state = state
    with pytest.raises(SettingsError) as caught:
        job.run()
    assert caught.value.problems[0].code == "other-base"
    assert not other.told(Step) and other.states == []
    # Said before pictures are encoded.
    assert "encoding pictures" not in other.phases()


def test_a_state_with_a_flipped_bit_is_passed_over_and_named(begun: MadeRun, straight: MadeRun) -> None:
    path = begun.folder.states_dir / "step-00000002" / TENSORS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    told: list[str] = []
    found = state_of(begun.folder, standing_of(begun.folder), told.append)
    assert found is not None and found.step == 1
    assert len(told) == 1 and "step-00000002" in told[0] and "damaged" in told[0]
    assert begun.go_on().outcome == DONE
    assert [event.step for event in begun.told(Step)] == [2, 3, 4]
    # The damaged one stays for whoever wants to look.
    assert path.read_bytes() == bytes(data)
    assert_same(begun.state(), straight.state())
