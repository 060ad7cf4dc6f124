"""Which class pictures are wanted beyond those that the user's folder holds, and which are still to be drawn.

Drawing is not done here. A request's name follows from everything that decides the picture, so one that was
drawn is found again and never drawn twice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.data.captions.choices import AsWritten
from lib_dreambooth.data.captions.compose import compose, prepare
from lib_dreambooth.data.handling import Handling, handlings
from lib_dreambooth.data.item import CaptionText, Item
from lib_dreambooth.data.order.class_places import pools_of
from lib_dreambooth.data.scanning.facts import read_facts
from lib_dreambooth.data.scanning.items import unique_ids
from lib_dreambooth.data.scanning.scan import Scan
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.settings.schema import Captions, ClassPictures, Run

PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class ClassRequest:
    """One class picture to have. `caption` is what it is trained on: the prompt that it was drawn with."""

    name: str
    concept: int
    size: Pixels
    prompt: str
    negative: str
    seed: int
    caption: CaptionText


def requests(run: Run, items: Sequence[Item], base: str) -> list[ClassRequest]:
    """The class pictures that the settings want beyond those at hand; none unless drawing is ticked.

    `base` names the untouched model. Sizes follow the buckets of the training pictures.
    """
    if run.class_pictures.relation == "off" or not run.class_pictures.draw:
        return []
    model = run.model
    merged = [Path(entry).name for entry in model.merge]
    drawn_with = digest(base, merged, Path(model.vae).name, model.ema_weights, model.clip_skip)
    served = {concept: pool.members for pool in pools_of(items) for concept in pool.concepts}
    found = []
    for number, handling in enumerate(handlings(run)):
        training = [item for item in items if item.concept == number and not item.is_class]
        at_hand = [items[position] for position in served.get(number, ())]
        if handling.concept.role == "train" and training:
            found += requests_of_concept(run.class_pictures, number, handling, training, at_hand, drawn_with)
    return found


def requests_of_concept(
    settings: ClassPictures,
    number: int,
    handling: Handling,
    training: Sequence[Item],
    at_hand: Sequence[Item],
    base: str,
) -> list[ClassRequest]:
    """The pictures that one concept lacks. Every picture that serves it counts, whatever its shape."""
    by_bucket: dict[Pixels, list[Item]] = {}
    for item in training:
        by_bucket.setdefault(handling.bucket(item), []).append(item)
    total = settings.total or settings.per_picture * len(training)
    have = Counter(nearest_of(handling.bucket(item), by_bucket) for item in at_hand)
    lacking = lacking_by_bucket({b: len(pictures) for b, pictures in by_bucket.items()}, have, total)
    found = []
    seen: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    for bucket, count in sorted(lacking.items()):
        for item in islice(cycle(by_bucket[bucket]), count):
            prompt = class_prompt_of(item.caption.text, handling, turns[item.caption.text])
            turns[item.caption.text] += 1
            negative = handling.concept.class_negative
            drawn_with = [settings.guidance, settings.steps, settings.sampler]
            kind = digest("class picture", base, prompt, negative, list(bucket), drawn_with)
            # The same words at the same size are told apart by their count.
            name = digest(kind, seen[kind])
            seen[kind] += 1
            seed = int(name[:8], 16)
            found.append(
                ClassRequest(
                    name, number, bucket, prompt, negative, seed, drawn_caption(prompt, handling.captions)
                )
            )
    return found


def lacking_by_bucket(
    pictures: Mapping[Pixels, int], have: Mapping[Pixels, int], total: int
) -> dict[Pixels, int]:
    """How many each bucket is short of so that there are `total`, shared out like the training pictures."""
    missing = total - sum(have.values())
    if missing <= 0:
        return {}
    whole = sum(pictures.values())
    wanted = {bucket: total * count / whole for bucket, count in pictures.items()}
    lacking = dict.fromkeys(pictures, 0)
    for _ in range(missing):
        # The bucket that is furthest from its share gets the next one.
        needy = max(lacking, key=lambda b: (wanted[b] - have.get(b, 0) - lacking[b], b))
        lacking[needy] += 1
    return {bucket: count for bucket, count in lacking.items() if count}


def nearest_of(bucket: Pixels, among: Mapping[Pixels, object]) -> Pixels:
    """The bucket itself, or the one among those in use whose shape is nearest."""
    return min(among, key=lambda other: (abs(other[0] / other[1] - bucket[0] / bucket[1]), other))


class Settled(AsWritten):
    """Nothing dropped, nothing moved; what is left open is chosen once: picture and words stay together.

    How follows from the caption and its turn alone: another seed for training draws no picture anew.
    """

    def __init__(self, text: str, turn: int) -> None:
        self._named = (text, turn)
        self._streams: dict[str, Draw] = {}

    def pick(self, purpose: str, count: int) -> int:
        stream = self._streams.setdefault(purpose, Draw(0, f"class picture {purpose}", *self._named))
        return stream.integer(count) if count > 1 else 0


def class_prompt_of(text: str, handling: Handling, turn: int) -> str:
    """What a class picture for a training picture with this caption is drawn with: all its words in order."""
    lines = prepare(text, handling.captions, handling.concept, is_class=True, wording=handling.wording)
    return compose(lines, handling.captions, Settled(text, turn))


def drawn_caption(prompt: str, captions: Captions) -> CaptionText:
    """What a drawn picture is trained on; brackets that are meant as such last until it is composed again."""
    return CaptionText(
        prompt.replace("{", "{{").replace("}", "}}") if captions.wildcards else prompt, "drawn"
    )


def missing(wanted: Sequence[ClassRequest], folder: Path) -> list[ClassRequest]:
    """Those that are not in the folder yet, or not whole."""
    return [request for request in wanted if not is_whole(picture_path(request, folder))]


def is_whole(path: Path) -> bool:
    """Whether a PNG is there down to its end, which a full disk or a power cut may have taken."""
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() == PNG_END
    except OSError:
        return False


def picture_path(request: ClassRequest, folder: Path) -> Path:
    """Where a request's picture belongs."""
    return folder / f"{request.name}.png"


def with_drawn(scanned: Scan, wanted: Sequence[ClassRequest], folder: Path) -> Scan:
    """The scan with the class pictures that were drawn; one that cannot be read is as one that is missing."""
    drawn = []
    for request in wanted:
        path = picture_path(request, folder)
        try:
            status = path.stat()
            fact = read_facts(str(path), status.st_size, status.st_mtime_ns)
        except (OSError, FileError):
            continue
        if not fact.problem:
            drawn.append(
                Item(
                    id=fact.content,
                    content=fact.content,
                    path=str(path),
                    caption=request.caption,
                    concept=request.concept,
                    is_class=True,
                    repeats=1,
                    size=fact.stored_size,
                )
            )
    return replace(scanned, items=tuple(unique_ids([*scanned.items, *drawn])))
