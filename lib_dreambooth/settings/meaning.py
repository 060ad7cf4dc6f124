"""What a run's settings amount to, where it takes more than one of them to say so."""

from __future__ import annotations

import msgspec

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.conditions import SDXL, TEXT_ENCODER
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import applies, value_at
from lib_dreambooth.settings.schema import Captions, Concept, Pictures, Run

MODEL_PARTS = ("unet", "text_encoder_1", "text_encoder_2")
PARTS = (*MODEL_PARTS, "words")


def is_adapter(run: Run) -> bool:
    """Whether a network is trained instead of the model's own weights."""
    return run.network.kind != "none"


def trains_text_encoder(run: Run) -> bool:
    """Whether any text encoder is trained."""
    return applies(TEXT_ENCODER, run, "")


def trained_parts(run: Run, family: str = "") -> tuple[str, ...]:
    """The parts trained, of PARTS; the second text encoder only where the family may have one."""
    has_second = applies(SDXL, run, "", {"model.family": family} if family else None)
    return tuple(
        part
        for part in PARTS
        if value_at(run, f"parts.{part}.train") and (part != "text_encoder_2" or has_second)
    )


def made(run: Run) -> tuple[str, ...]:
    """What the run makes: some of "network", "weights", "words"."""
    parts = trained_parts(run)
    found = []
    if any(part in MODEL_PARTS for part in parts):
        found.append("network" if is_adapter(run) else "weights")
    if "words" in parts:
        found.append("words")
    return tuple(found)


def rate_of(run: Run, part: str) -> float:
    """The learning rate of one of PARTS as typed, before "Scale Learning Rate"."""
    own: float = value_at(run, f"parts.{part}.rate")
    return own or run.rates.learning_rate


def rate_scale(run: Run, processes: int = 1) -> float:
    """The factor that "Scale Learning Rate" puts on all rates."""
    return float(run.length.batch_size * run.length.accumulation * processes) if run.rates.scale else 1.0


def alpha_of(run: Run) -> float:
    """The network's alpha, with 0 read as the rank."""
    return run.network.alpha or float(run.network.rank)


def network_scale(run: Run) -> float:
    """What the network's output is multiplied by: alpha / rank, or alpha / root of rank."""
    rank = run.network.rank
    return alpha_of(run) / (rank**0.5 if run.network.rank_stabilised else rank)


def pictures_of(run: Run, concept: Concept) -> Pictures:
    """How a concept's pictures are treated, with what differs for it."""
    return msgspec.structs.replace(run.pictures, **overridden(concept, "pictures"))


def captions_of(run: Run, concept: Concept) -> Captions:
    """How a concept's captions are treated, with what differs for it."""
    return msgspec.structs.replace(run.captions, **overridden(concept, "captions"))


def overridden(concept: Concept, section: str) -> dict[str, object]:
    """What differs for a concept in one section, by key."""
    prefix = f"{section}."
    return {
        path.removeprefix(prefix): value
        for path, value in concept.override.items()
        if path.startswith(prefix)
    }


def share_of_run(duration: Duration, run: Run, facts: Facts) -> float | None:
    """Which part of the run a duration is: 0.5 for its middle; None where that cannot be known yet."""
    if duration.is_word:
        return None
    if duration.unit == "percent":
        return duration.amount / 100
    total = run.length.train_for
    if duration.unit == total.unit and not run.length.whole_epochs:
        return duration.amount / total.amount
    if facts.epoch is None or total.is_word or duration.unit == "minutes":
        return None
    in_steps = {"steps": 1, "epochs": facts.epoch.steps}
    return duration.amount * in_steps[duration.unit] / (total.amount * in_steps[total.unit])
