"""A micro-batch taken in pieces one after the other: less memory, the same gradient but for rounding.

Noise, timesteps and shares are those of the whole batch, and captions are as long as in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.models.encode import TextStates
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.objective.noised import Noised
from lib_dreambooth.training.trainer.texts import Texts


def may_split(run: Run) -> bool:
    """Whether it changes nothing but rounding: dropout is drawn for all rows of a batch at once."""
    network = run.network
    return not (network.dropout or network.rank_dropout or network.module_dropout)


def rows_of(count: int, pieces: int) -> list[slice]:
    """The rows of each piece, as even as can be; never an empty one."""
    pieces = max(1, min(pieces, count))
    ends = [count * number // pieces for number in range(pieces + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


def split(batch: Batch, noised: Noised, pieces: int) -> Iterator[tuple[Batch, Noised]]:
    """The batch and its noise in so many pieces, in the same order."""
    for rows in rows_of(len(batch.captions), pieces):
        yield (
            replace(
                batch,
                captions=batch.captions[rows],
                shares=batch.shares[rows],
                size_ids=batch.size_ids[rows],
                latents=None if batch.latents is None else batch.latents[rows],
                masks=None if batch.masks is None else batch.masks[rows],
                texts=None if batch.texts is None else {k: v[rows] for k, v in batch.texts.items()},
            ),
            replace(noised, **_rows_of_all(noised, rows)),
        )


def _rows_of_all(noised: Noised, rows: slice) -> dict[str, Any]:
    found = {field.name: getattr(noised, field.name) for field in fields(noised)}
    return {name: None if values is None else values[rows] for name, values in found.items()}


def texts_of_piece(texts: Texts, captions: Sequence[str], whole: Sequence[str]) -> TextStates:
    """The states of a piece's captions, as long as they are in the whole batch."""
    longest = max(whole, key=lambda caption: texts.length_of(caption))
    beside = () if longest in captions else (longest,)
    found = texts([*captions, *beside])
    count = len(captions)
    pooled = None if found.pooled is None else found.pooled[:count]
    return TextStates(tuple(states[:count] for states in found.states), pooled)
