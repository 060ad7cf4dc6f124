"""A micro-batch taken in pieces one after the other: less memory, the same gradient but for rounding.

Noise, timesteps, shares and what networks leave out by chance are those of the whole batch, and captions are
as long as in it.
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


def has_dropout(run: Run) -> bool:
    """Whether anything of the network is left out by chance."""
    network = run.network
    return bool(network.dropout or network.rank_dropout or network.module_dropout)


def more_pieces(pieces: int, batch_size: int) -> int | None:
    """The next number of pieces: half as large, down to single pictures; None where they are single."""
    return min(2 * pieces, batch_size) if pieces < batch_size else None


def rows_of(count: int, pieces: int) -> list[slice]:
    """The rows of each piece, as even as can be; never an empty one."""
    pieces = max(1, min(pieces, count))
    ends = [count * number // pieces for number in range(pieces + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


def split(batch: Batch, noised: Noised, pieces: int) -> Iterator[tuple[slice, Batch, Noised]]:
    """The batch and its noise in so many pieces, in the same order, each with its rows."""
    for rows in rows_of(len(batch.captions), pieces):
        yield (
            rows,
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


def texts_of_rows(texts: Texts, captions: Sequence[str], whole: Sequence[str], rows: slice) -> TextStates:
    """The same from the states of all captions: what encoders leave out is drawn for all of them."""
    found = texts(whole)
    pooled = None if found.pooled is None else found.pooled[rows]
    return TextStates(tuple(states[rows] for states in found.states), pooled)
