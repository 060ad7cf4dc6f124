"""How a run is suited to a card, and what is kept of how it came out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from lib_dreambooth.forecast.forecast import STEP, Forecast, PhaseNeed
from lib_dreambooth.forecast.kept import BOUNDS, Kept
from lib_dreambooth.forecast.offering import Offer
from lib_dreambooth.forecast.previewing import Drawing
from lib_dreambooth.forecast.rehearsal import Manner
from lib_dreambooth.jobs import foretelling, training
from lib_dreambooth.jobs.foretelling import Foretold, ratios_of, sentence
from lib_dreambooth.jobs.memory import Told
from lib_dreambooth.runs.events import DONE, Step, Warned
from lib_dreambooth.sampling import decoding
from lib_dreambooth.training.trainer.taking import AS_SET, Taking
from tests.training.made_runs import MadeRun

GB = 10**9


def told(factor: float = 1.0, pace: float = 1.0) -> Told:
    need = PhaseNeed((3 * GB, 0, 0, 0, GB, 0), 0)
    forecast = Forecast("cuda", {STEP: need}, Manner("some", is_fused=True), 2.0 * pace, 20.0, factor, pace)
    offer = Offer((("length.batch_size", 1),), GB, "one picture at a time")
    return Told(forecast, 3 * GB, False, [offer])


def test_the_trainer_goes_by_what_was_chosen() -> None:
    assert Foretold("cuda:0", told()).taking == Taking(
        "some", is_fused=True, is_alone=False, pieces=1, is_in_system=False, is_state_away=False
    )
    assert Foretold("cpu").taking == AS_SET
    assert Taking("some").level_for("auto", "cuda") == "some"
    assert Taking("some").level_for("off", "cuda") == "off"
    assert (AS_SET.level_for("auto", "cuda"), AS_SET.level_for("auto", "cpu")) == ("on", "off")


def test_what_is_kept_is_over_the_graph_alone() -> None:
    # Not over what earlier runs had already corrected: corrections would wander.
    assert ratios_of(told(factor=1.3, pace=3.0), 5 * GB, 0.25) == {"memory": 1.25, "seconds": 2.0}
    assert ratios_of(told(), 5 * GB, None) == {"memory": 1.25}


def test_a_run_that_ended_corrects_the_next_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path)
    monkeypatch.setattr(foretelling, "peak_of", lambda device: 5 * GB)
    run = Foretold("cuda:0", told(), kept, "a card")
    run.hear(Step(step=3, epoch=1.0, loss=0.1, smoothed=0.1, rates={}, steps_per_second=0.25))
    run.compare()
    assert kept.factor("a card", "memory") == 1.25
    assert kept.factor("a card", "seconds") == BOUNDS[1]
    assert kept.factor("another card", "memory") == 1.0
    # Nothing is kept where there is no card.
    Foretold("cpu").compare()


def test_what_does_not_fit_is_told_with_what_would() -> None:
    text = sentence(told())
    assert "4.0 GB" in text
    assert "the card has 3.0 GB" in text
    assert "length.batch_size = 1" in text


def test_on_a_cpu_it_is_what_the_process_has_grown_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path)
    need = PhaseNeed((4 * GB, 0, 0, 0, 0, 0), 0)
    asked: list[str] = []

    def late() -> tuple[Told, str]:
        asked.append("forecast")
        return Told(Forecast("cpu", {STEP: need}, Manner()), None, None), "a CPU"

    monkeypatch.setattr(foretelling, "resident", lambda: (6 * GB, 7 * GB))
    # Another run had taken as much before: nothing is known of this one.
    Foretold("cpu", None, kept, before=(2 * GB, 7 * GB), late=late).compare()
    assert not asked
    run = Foretold("cpu", None, kept, before=(2 * GB, 3 * GB), late=late)
    assert run.taking == AS_SET
    run.compare()
    assert kept.factor("a CPU", "memory") == 1.25
    # A small run is not worth it.
    Foretold("cpu", None, kept, before=(7 * GB - 1000, 6 * GB), late=late).compare()
    assert asked == ["forecast"]


@pytest.mark.slow
def test_previews_are_drawn_as_chosen_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = MadeRun(
        tmp_path,
        {
            "length": {"train_for": "1 steps", "batch_size": 1},
            "previews": {"size": "128", "at_end": True, "prompts": ["a ring"]},
            "memory": {"checkpointing": "off"},
        },
        num_pictures=3,
    )
    chosen = dataclasses.replace(told(), drawing=Drawing((64, 64), is_striped=True))
    monkeypatch.setattr(training, "foretold", lambda *given: Foretold("cpu", chosen))
    striped: list[int] = []
    real = decoding.decode_in_stripes

    def decode(vae: object, latents: torch.Tensor, num_rows: int) -> torch.Tensor:
        striped.append(num_rows)
        return real(vae, latents, num_rows)

    monkeypatch.setattr(decoding, "decode_in_stripes", decode)
    assert run.run().outcome == DONE
    pictures = sorted(run.folder.samples_dir.glob("*.png"))
    assert pictures and {Image.open(path).size for path in pictures} == {(64, 64)}
    assert striped == [16] * len(pictures)
    [warned] = [one for one in run.told(Warned) if one.code == "smaller-previews"]
    assert warned.where == "previews.size" and "64 x 64" in warned.text
