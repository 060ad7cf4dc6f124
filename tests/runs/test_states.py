"""States: whole or not there, the newest whole one wins, and a killed process harms no older one."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.safetensors_write import Pending
from lib_dreambooth.runs import states
from lib_dreambooth.runs.kept_states import (
    all_states,
    checked,
    newest_whole,
    next_lineage,
    prune,
    read_state,
)
from lib_dreambooth.runs.states import bytes_needed, state_name, write_state

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
TENSORS = {
    "trained/a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "optimizer/b": torch.tensor([1, -2], dtype=torch.int64),
    "trained/猫": torch.tensor([0.5, 3.0], dtype=torch.bfloat16),
    "empty": torch.zeros(0, 3),
}
SCALARS = {"step": 5, "rate": 0.1 + 0.2, "名": "ねこ", "nested": {"list": [1, None, True]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "モデル" / "states"


def steps_of(folder: Path) -> list[int]:
    return [state.step for state in all_states(folder)[0]]


def newest_step(folder: Path) -> int | None:
    state = newest_whole(folder).state
    return state.step if state else None


def flip(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(bytes(data))


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith("step-")]


def test_a_state_comes_back_bit_for_bit(folder: Path) -> None:
    path = write_state(folder, 5, TENSORS, SCALARS)
    assert path == folder / "step-00000005"
    assert sorted(file.name for file in path.iterdir()) == [
        "manifest.json",
        "state.json",
        "tensors.safetensors",
    ]
    found = newest_whole(folder).state
    assert found is not None
    tensors, scalars = read_state(found)
    assert scalars == SCALARS
    assert tensors.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert tensors[key].dtype == tensor.dtype and torch.equal(tensors[key], tensor)
    assert leftovers(folder) == []


@settings(max_examples=25, deadline=None)
@given(
    values=st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        st.lists(st.floats(width=32), max_size=5),
        max_size=4,
    ),
    scalars=st.dictionaries(
        st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.booleans(), max_size=4
    ),
)
def test_any_state_comes_back(
    values: dict[str, list[float]], scalars: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    tensors = {name: torch.tensor(numbers, dtype=torch.float32) for name, numbers in values.items()}
    scalars = {key.encode("utf-8", "replace").decode(): value for key, value in scalars.items()}
    path = write_state(folder, 1, tensors, scalars)
    back, told = read_state(checked(path))
    assert told == scalars
    assert {key: one.view(torch.int32).tolist() for key, one in back.items()} == {
        key: one.view(torch.int32).tolist() for key, one in tensors.items()
    }
    shutil.rmtree(folder)


def test_the_newest_is_by_step_then_by_what_was_written_last(folder: Path) -> None:
    for step in (1000, 200):
        write_state(folder, step, {}, {"n": 1})
    again = write_state(folder, 1000, {}, {"n": 2})
    assert again.name == "step-00001000-2"
    found = newest_whole(folder).state
    assert found is not None and read_state(found)[1] == {"n": 2}
    assert steps_of(folder) == [1000, 1000, 200]


def test_no_clock_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000, 0, -1))
    monkeypatch.setattr(time, "time", lambda: next(now))
    write_state(folder, 1, {}, {"n": 1})
    write_state(folder, 1, {}, {"n": 2})
    found = newest_whole(folder).state
    assert found is not None and read_state(found)[1] == {"n": 2}


def test_starting_over_beats_the_steps_of_the_run_before(folder: Path) -> None:
    assert next_lineage(folder) == 0
    write_state(folder, 1000, {}, {})
    assert next_lineage(folder) == 1
    write_state(folder, 10, {}, {}, lineage=1)
    assert newest_step(folder) == 10
    assert [path.name for path in prune(folder, 1)] == ["step-00001000"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "longer"])
def test_a_damaged_state_is_passed_over_and_stays(folder: Path, name: str, damage: str) -> None:
    write_state(folder, 1, TENSORS, SCALARS)
    path = write_state(folder, 2, TENSORS, SCALARS)
    file = path / name
    if damage == "flip":
        flip(file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "longer":
        file.write_bytes(file.read_bytes() + b" ")
    else:
        file.unlink()
    found = newest_whole(folder)
    assert found.state is not None and found.state.step == 1
    assert [one.path for one in found.damaged] == [path]
    assert name in found.damaged[0].sentence()
    prune(folder, 1)
    assert path.exists() and newest_step(folder) == 1
    with pytest.raises(FileError) as caught:
        checked(path)
    assert caught.value.code == "damaged-state"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"lineage": 0}', '{"lineage":0,"step":"2","written":1,"files":{}}',
     '{"lineage":0,"step":2,"written":1,"files":{}}', '{"lineage":0,"step":2,"written":1,"files":[]}'],
)  # fmt: skip
def test_a_damaged_manifest_is_passed_over(folder: Path, text: str) -> None:
    write_state(folder, 1, TENSORS, SCALARS)
    path = write_state(folder, 2, TENSORS, SCALARS)
    (path / "manifest.json").write_text(text, encoding="utf-8")
    found = newest_whole(folder)
    assert found.state is not None and found.state.step == 1
    assert [one.path for one in found.damaged] == [path]
    # The next state still gets a number of its own.
    write_state(folder, 3, {}, {})
    assert newest_step(folder) == 3


def test_a_manifest_reads_nothing_outside_its_folder(folder: Path) -> None:
    path = write_state(folder, 1, TENSORS, SCALARS)
    data = json.loads((path / "manifest.json").read_text("utf-8"))
    data["files"]["../../secret"] = {"num_bytes": 1, "sha256": "0"}
    (path / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    assert "no state has" in newest_whole(folder).damaged[0].why


def test_a_folder_without_states_has_none(folder: Path) -> None:
    assert newest_whole(folder).state is None
    assert prune_is_harmless(folder)


def prune_is_harmless(folder: Path) -> bool:
    return prune(folder, 1) == []


def test_pruning_keeps_the_newest(folder: Path) -> None:
    paths = [write_state(folder, step, TENSORS, SCALARS) for step in (1, 2, 3, 4)]
    (folder / ".0123456789ab.tmp").mkdir()
    assert prune(folder, 2, trusted=paths[-1]) == [paths[1], paths[0]]
    assert steps_of(folder) == [4, 3]
    assert leftovers(folder) == []


def test_pruning_never_takes_the_newest_whole_one(folder: Path) -> None:
    paths = [write_state(folder, step, TENSORS, SCALARS) for step in (1, 2, 3)]
    # Same size, so that only the hash tells.
    flip(paths[2] / "tensors.safetensors")
    assert prune(folder, 1) == [paths[0]]
    assert newest_step(folder) == 2


@settings(max_examples=20, deadline=None)
@given(data=st.data(), keep=st.integers(1, 3))
def test_whatever_is_damaged_pruning_changes_no_answer(
    data: st.DataObject, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("prune")
    for step in data.draw(st.lists(st.integers(1, 9), max_size=4)):
        path = write_state(folder, step, TENSORS, SCALARS)
        if data.draw(st.booleans()):
            flip(path / data.draw(st.sampled_from(["tensors.safetensors", "state.json"])))
    before = newest_whole(folder)
    prune(folder, keep)
    assert newest_whole(folder) == before
    shutil.rmtree(folder)


def test_a_state_in_use_by_another_program_is_pruned_next_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        write_state(folder, step, {}, {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        assert prune(folder, 1) == []
    assert steps_of(folder) == [2, 1]
    assert [path.name for path in prune(folder, 1)] == ["step-00000001"]


def refuse(self: Path, target: Path) -> Path:
    raise PermissionError(errno.EACCES, "held by another program")


def test_renaming_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, tries = Path.rename, []

    def busy(self: Path, target: Path) -> Path:
        tries.append(target.name)
        return refuse(self, target) if len(tries) < 3 else rename(self, target)

    monkeypatch.setattr(states, "RENAME_WAITS_S", (0, 0, 0))
    monkeypatch.setattr(Path, "rename", busy)
    assert write_state(folder, 1, {}, {}).name == "step-00000001"
    assert tries == ["step-00000001"] * 3


def test_a_name_that_stays_held_makes_way_for_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def held(self: Path, target: Path) -> Path:
        return refuse(self, target) if target.name == "step-00000001" else rename(self, target)

    monkeypatch.setattr(states, "RENAME_WAITS_S", (0,))
    monkeypatch.setattr(Path, "rename", held)
    assert write_state(folder, 1, TENSORS, SCALARS).name == "step-00000001-2"
    assert newest_step(folder) == 1


def test_a_place_that_stays_held_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(folder, 1, TENSORS, SCALARS)
    monkeypatch.setattr(states, "RENAME_WAITS_S", (0,))
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(FileError) as caught:
        write_state(folder, 2, TENSORS, SCALARS)
    assert caught.value.code == "not-writable"
    assert newest_step(folder) == 1 and leftovers(folder) == []


def test_too_little_space_is_said_before_anything_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state(folder, 1, TENSORS, SCALARS)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000))

    def never(step: int) -> torch.Tensor:
        raise AssertionError("made a tensor for a state that has no room")

    large = Pending(torch.float32, (1_000_000, 4), lambda: never(2))
    with pytest.raises(FileError) as caught:
        write_state(folder, 2, {"a": large}, {})
    assert caught.value.code == "disk-full"
    assert "5.0 MB free" in caught.value.what and "17.0 MB" in caught.value.what and caught.value.todo
    assert leftovers(folder) == [] and newest_step(folder) == 1
    assert bytes_needed({"a": large}) > 16_000_000


def test_a_disk_that_fills_up_during_a_save_leaves_the_old_state(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state(folder, 1, TENSORS, SCALARS)

    def full(file: Any, chunk: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(states, "write_fully", full)
    with pytest.raises(FileError) as caught:
        write_state(folder, 2, TENSORS, SCALARS)
    assert caught.value.code == "disk-full"
    assert leftovers(folder) == [] and newest_step(folder) == 1


def test_running_out_of_memory_during_a_save_leaves_the_old_state(folder: Path) -> None:
    write_state(folder, 1, TENSORS, SCALARS)

    def too_large() -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        write_state(folder, 2, {"a": Pending(torch.float32, (2,), too_large)}, {})
    assert leftovers(folder) == [] and newest_step(folder) == 1


def test_a_folder_that_was_removed_is_made_again(folder: Path) -> None:
    write_state(folder, 1, TENSORS, SCALARS)
    shutil.rmtree(folder.parent)
    write_state(folder, 2, TENSORS, SCALARS)
    assert newest_step(folder) == 2


WRITES = """
import sys, torch
from pathlib import Path
from lib_dreambooth.runs.kept_states import newest_whole, prune
from lib_dreambooth.runs.states import write_state
folder = Path(sys.argv[1])
found = newest_whole(folder).state
step = found.step + 1 if found else 1
print("ready", flush=True)
while True:
    tensors = {f"t{n}": torch.full((50_000,), float(step)) for n in range(8)}
    path = write_state(folder, step, tensors, {"step": step})
    print(step, flush=True)
    prune(folder, 2, trusted=path)
    step += 1
"""


def killed_writers(folder: Path, count: int, seed: int) -> Iterator[int]:
    """Kills writers at random moments; after each gives the last step that it said was written."""
    moments = random.Random(seed)
    for _ in range(count):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITES, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0, 0.25))
        child.kill()
        said = child.communicate()[0].split("\n")[:-1]
        yield int(said[-1]) if said else 0


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_a_killed_writer_harms_no_state(folder: Path, count: int) -> None:
    last = 0
    for said in killed_writers(folder, count, seed=count):
        last = max(last, said)
        found = newest_whole(folder)
        assert found.damaged == ()
        step = found.state.step if found.state else 0
        # What it said is there; one more may be, said or not.
        assert last <= step <= last + 1
        if found.state:
            tensors, scalars = read_state(found.state)
            assert scalars == {"step": step}
            assert all(bool((tensor == step).all()) for tensor in tensors.values())
        last = step
    assert last > 0
    prune(folder, 2)
    assert leftovers(folder) == []


@pytest.mark.parametrize("keep", [1])
def test_a_kill_between_any_two_actions_harms_no_state(
    folder: Path, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every action on the disk is once the last one; the cleaning up afterwards does not happen either."""
    actions = ("mkdir", "rename", "open")
    number = 0
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        write_state(folder, 1, TENSORS, SCALARS)
        with monkeypatch.context() as patch:
            left = kill_at(patch, actions, number)
            patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
            with contextlib.suppress(Killed):
                write_state(folder, 2, TENSORS, SCALARS)
        found = newest_whole(folder)
        assert found.damaged == () and found.state is not None
        assert found.state.step == 2 or left[0]
        write_state(folder, 3, TENSORS, SCALARS)
        prune(folder, keep)
        assert steps_of(folder) == [3] and leftovers(folder) == []
        if not left[0]:
            break
        number += 1
    assert number >= 5


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_at(patch: pytest.MonkeyPatch, actions: tuple[str, ...], number: int) -> list[bool]:
    """Ends at the action of that number; the list's only entry tells whether it came to that."""
    count, reached = [0], [False]
    for name in actions:
        real = getattr(Path, name)

        def act(self: Path, *args: Any, real: Any = real, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] > number:
                reached[0] = True
                raise Killed
            return real(self, *args, **kwargs)

        patch.setattr(Path, name, act)
    return reached


def test_names_sort_by_step() -> None:
    assert state_name(1000) == "step-00001000" and state_name(7, 3) == "step-00000007-3"
