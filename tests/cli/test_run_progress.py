from __future__ import annotations

import io
import json

import pytest

from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.run_progress import BarLines, JsonLines, RunLines, listener_for, step_text, time_text
from lib_dreambooth.runs.events import Event, Phase, Saved, Step, Warned

RATES = {"unet": 1e-4, "text_encoder": 5e-5}


def step(number: int) -> Step:
    return Step(
        step=number, loss=0.5, smoothed=0.25, rates=RATES, steps_per_second=4.0, seconds_left=100 - number
    )


EVENTS: list[Event] = [
    Phase(name="reading the model"),
    Phase(name="training", done=0, total=100),
    *(step(number) for number in range(1, 101)),
    Phase(name="saving", done=100, total=100),
    Saved(paths=("states/step-00000100",), what="state", step=100),
    Phase(name="training", done=100, total=100),
    Warned(text="batch_size: 1 -> 2.", where="batch_size", code="changed-on-resume"),
    Warned(text="the disk is nearly full.", where="/models"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(listener: RunLines) -> str:
    for event in EVENTS:
        listener(event)
    listener.close()
    assert isinstance(listener.out.stderr, io.StringIO)
    return listener.out.stderr.getvalue()


def test_plain_lines_at_each_tenth() -> None:
    out = Out(io.StringIO(), io.StringIO())
    lines = said(RunLines(out, known=["batch_size"], clock=lambda: 0.0)).splitlines()
    assert lines[:3] == [
        "Reading the model.",
        "Training.",
        "step 1 of 100: loss 0.2500, rate 0.0001 / 5e-05, 0.25 s/it, 1:39 min left",
    ]
    assert [line.split()[1] for line in lines[3:13]] == [str(number) for number in range(10, 101, 10)]
    assert lines[13:] == [
        "step 100: state kept: states/step-00000100",
        "/models: the disk is nearly full.",
    ]


def test_a_slow_run_speaks_every_minute() -> None:
    times = iter(range(0, 100_000, 31))
    out = Out(io.StringIO(), io.StringIO())
    lines = RunLines(out, clock=lambda: float(next(times)))
    lines(Phase(name="training", done=0, total=1000))
    for number in range(1, 9):
        lines(step(number))
    assert isinstance(out.stderr, io.StringIO)
    assert out.stderr.getvalue().count("step ") == 4


def test_a_bar_on_a_terminal() -> None:
    out = Out(io.StringIO(), Terminal())
    listener = listener_for(out)
    assert isinstance(listener, BarLines)
    text = said(listener)
    assert "100/100" in text and "loss 0.2500" in text and "s/it" in text
    assert "batch_size: 1 -> 2." in text and "states/step-00000100" in text


def test_every_event_for_programs() -> None:
    out = Out(io.StringIO(), io.StringIO(), as_json=True)
    listener = listener_for(out, ["batch_size"])
    assert isinstance(listener, JsonLines) and said(listener) == ""
    assert isinstance(out.stdout, io.StringIO)
    lines = [json.loads(line) for line in out.stdout.getvalue().splitlines()]
    assert len(lines) == len(EVENTS) and lines[2]["kind"] == "step" and lines[2]["rates"] == RATES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1:00 min"), (61, "1:01 min"), (3599, "59:59 min"), (7260, "2:01 h")],
)
def test_times(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_a_step_of_a_run_without_an_end() -> None:
    assert step_text(Step(step=3, loss=0.125)) == "loss 0.1250"
