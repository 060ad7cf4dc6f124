"""What stopped without an end is found, told and given up."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.folder import STATE_FILES
from lib_dreambooth.jobs.entries import this_process
from lib_dreambooth.jobs.record import RunRecord, write_record
from lib_dreambooth.jobs.standing import standing_of
from lib_dreambooth.jobs.stopped import boot_of, give_up, stopped_run, stopped_runs, why_gone
from lib_dreambooth.runs.events import Finished
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import NOTE, held
from lib_dreambooth.runs.manifests import Digest, Manifest, write_manifest
from lib_dreambooth.runs.reading import read_events
from tests.jobs.made_runs import MadeRun, a_folder


def killed(tmp_path: Path, name: str = "riho", steps: int = 70) -> ModelFolder:
    """A run of 300 steps that was killed after some, with a state of step 60."""
    folder = a_folder(tmp_path, name)
    run = MadeRun(folder)
    write_record(folder, RunRecord("r1", 0, "settings.toml", run.log.sequence))
    run.start("r1")
    run.steps(1, 60)
    run.save(60, tmp_path / "Lora")
    write_manifest(
        folder.states_dir / "step-00000060", Manifest(0, 60, 1, dict.fromkeys(STATE_FILES, Digest(1, "")))
    )
    run.steps(61, steps)
    run.log.close()
    return folder


def test_a_killed_run_is_described(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    dead = replace(this_process(), pid=2**22 + 4711, process_start="11-22:never")
    (folder.path / NOTE).write_text(json.dumps(asdict(dead)), encoding="utf-8")
    found = stopped_run(folder)
    assert found is not None
    assert (found.model, found.run_id, found.doing) == ("riho", "r1", "training")
    assert (found.step, found.num_steps, found.state_step) == (70, 300, 60)
    assert found.files == ("riho-000060.safetensors",)
    assert found.time == pytest.approx(1_790_000_000.0, abs=100)
    assert found.last_warning == "one picture is blurred."
    assert "computer was started anew" in found.why
    assert found.sentence().startswith("riho stopped while training, at step 70 of 300.")
    assert found.sentence().endswith("It can go on after step 60.")
    assert json.loads(json.dumps(found.to_json()))["state_step"] == 60
    assert stopped_runs(folder.path.parent) == [found]


def test_a_run_that_is_under_way_did_not_stop(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    with held(folder.path):
        assert stopped_run(folder) is None
        with pytest.raises(UserError) as error:
            give_up(folder)
        assert error.value.code == "model-in-use"
    assert stopped_run(folder) is not None


def test_a_run_that_ended_did_not_stop(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    run = MadeRun(folder)
    run.finish("cancelled", 70, 3.0)
    run.log.close()
    assert stopped_run(folder) is None
    assert stopped_run(a_folder(tmp_path, "never begun")) is None


def test_giving_up_is_remembered_and_loses_nothing(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    before = {path for path in folder.path.rglob("*") if path.is_file()}
    found = give_up(folder)
    assert found is not None and found.step == 70
    assert stopped_run(folder) is None
    assert give_up(folder) is None
    assert before <= {path for path in folder.path.rglob("*") if path.is_file()}
    standing = standing_of(folder)
    assert (standing.outcome, standing.step) == ("discarded", 60)
    (end,) = [event for event in read_events(folder.events_path) if isinstance(event, Finished)]
    assert end.code == "given-up"


def test_why_a_process_is_gone() -> None:
    me = this_process()
    assert why_gone(None) == ""
    assert why_gone(replace(me, host="elsewhere")) == "It ran on elsewhere."
    assert why_gone(replace(me, pid=1)) == "Its program was closed, killed, or crashed."
    # macOS tells a time, Windows a number: neither says which start of the computer it was.
    assert boot_of("Mon Nov 21 10:11:12 2026") == ""
    assert boot_of("133456789") == ""
    assert boot_of("abc-def:99") == "abc-def"
