"""From a result to txt2img: what goes into the prompt, and the whole text of a picture drawn with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.jobs.made_files import Made, Sample, card_of
from lib_dreambooth.sampling.infotext import text_in, with_tag
from lib_dreambooth.training.export.result import ADAPTER, CHECKPOINT, EMBEDDING, stem_of

DEFAULT_WEIGHT = 1.0


@dataclass(frozen=True)
class Sending:
    """`prompt` is what is put in; `checkpoint` is what is chosen instead; `text` fills the whole form."""

    kind: str
    prompt: str = ""
    negative: str = ""
    trigger: str = ""
    weight: float = DEFAULT_WEIGHT
    checkpoint: str = ""
    text: str = ""
    sample_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return dict(self.__dict__)


def sending(made: Made, samples: Sequence[Sample]) -> Sending:
    """What sends a result to txt2img; the picture is the one drawn nearest to its step, of its own run."""
    card = card_of(made.path)
    name, weight = stem_of(made.path), weight_of(card)
    trigger, negative = text_of(card, "activation text"), text_of(card, "negative text")
    tag, checkpoint = "", ""
    if made.kind == ADAPTER:
        tag = f"<lora:{name}:{weight:g}>"
    elif made.kind == EMBEDDING:
        trigger = name if weight == DEFAULT_WEIGHT else f"({name}:{weight:g})"
    elif made.kind == CHECKPOINT:
        # The WebUI knows a file in a folder of its own by this name, not by the file's.
        checkpoint = name
    sample = sample_for(made, samples)
    text = text_in(sample.path) if sample is not None else ""
    return Sending(
        kind=made.kind,
        prompt=", ".join(part for part in (trigger, tag) if part),
        negative=negative,
        trigger=trigger,
        weight=weight,
        checkpoint=checkpoint,
        text=with_tag(text, tag),
        sample_id=sample.id if sample is not None else "",
    )


def sample_for(made: Made, samples: Sequence[Sample]) -> Sample | None:
    """The preview of a result: of its own run where there is one, and of the step nearest to it."""
    own = [sample for sample in samples if sample.run_id == made.run_id]
    return min(own, key=lambda sample: abs(sample.step - made.step), default=None)


def weight_of(card: dict[str, Any]) -> float:
    """The weight that the card prefers; 0 is how the WebUI writes that it prefers none."""
    found = card.get("preferred weight")
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number and found else DEFAULT_WEIGHT


def text_of(card: dict[str, Any], name: str) -> str:
    """A text of the card."""
    found = card.get(name)
    return found.strip() if isinstance(found, str) else ""
