"""A run in as few events as draw it again."""

from __future__ import annotations

from pathlib import Path

from lib_dreambooth.jobs.so_far import of_last_run, run_so_far, thinned
from lib_dreambooth.runs.events import Event, Finished, Phase, Saved, Started, Step, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.log import EventLog


def numbered(*events: Event) -> list[Event]:
    import dataclasses

    return [dataclasses.replace(event, sequence=number) for number, event in enumerate(events, 1)]


def test_only_the_last_run_with_all_its_starts() -> None:
    events = numbered(
        Started(run_id="a"),
        Finished(outcome="done", step=1),
        Started(run_id="b"),
        Step(step=1, loss=1.0),
        Started(run_id="b", first_step=1),
        Step(step=2, loss=0.5),
    )
    assert of_last_run(events) == events[2:]


def test_what_was_done_before_a_start_is_told() -> None:
    early = Phase(name="reading"), Warned(text="one is blurred.")
    events = numbered(*early)
    assert of_last_run(events) == events
    events = numbered(Started(run_id="a"), Finished(outcome="done", step=1), *early, Started(run_id="b"))
    assert of_last_run(events) == events[2:]


def test_steps_are_thinned_and_the_rest_stays() -> None:
    steps = [Step(step=number, loss=1.0) for number in range(1, 1001)]
    saved = Saved(paths=("x",), what="network", step=500)
    begun, training = (Started(run_id="a"), Phase(name="reading")), Phase(name="training")
    events = numbered(*begun, *steps[:500], saved, training, *steps[500:])
    found = thinned(events, 100)
    told = [event.step for event in found if isinstance(event, Step)]
    assert len(told) == 101
    assert told[0] == 1 and told[-1] == 1000
    assert [type(event) for event in found if not isinstance(event, Step)] == [Started, Saved, Phase]
    assert thinned(events[:50], 100) == events[:50]


def test_the_stream_goes_on_behind_it(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "model")
    with EventLog(folder.events_path) as log:
        log.emit(Started(run_id="a"))
        for number in range(1, 40):
            log.emit(Step(step=number, loss=1.0))
    events, last = run_so_far(folder, 10)
    assert last == 40
    assert events[-1].sequence == 40
    assert run_so_far(ModelFolder(tmp_path / "none")) == ([], 0)
