"""How long a run's captions get, in chunks: what is kept for the backward pass grows with them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator

from lib_dreambooth.data.captions.compose import lines_of
from lib_dreambooth.data.captions.templates import worded
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.item import Item
from lib_dreambooth.models.chunks import CHUNK_LENGTH, Word, words_of
from lib_dreambooth.models.encode import rows_of
from lib_dreambooth.models.tokenizer import clip_tokenizer
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.encoding import text_style

# Of each concept so many of the longest captions are looked at: letters and tokens do not go quite together.
LOOKED_AT = 16


def most_chunks(max_tokens: int) -> int:
    """Chunks of a caption that is as long as it may be."""
    return max(1, -(-max_tokens // CHUNK_LENGTH))


def chunks_of(run: Run, dataset: Dataset) -> int:
    """Chunks of the longest caption, with everything in it that a visit may draw."""
    style = text_style(run)
    if style.kind == "kohya":
        return most_chunks(style.max_tokens)
    texts = list(longest_texts(dataset))
    # A token is a byte at least.
    if not run.words and all(len(text.encode()) <= CHUNK_LENGTH for text in texts):
        return 1
    tokenizer = clip_tokenizer()
    words = words_of([Word(one.name, tuple(tokenizer(one.name)), one.vectors) for one in run.words])
    return len(rows_of(texts, 0, style, words)[0])


def longest_texts(dataset: Dataset) -> Iterator[str]:
    """The longest captions of each concept, and of its class."""
    groups: dict[tuple[int, bool], list[Item]] = defaultdict(list)
    for item in dataset.items:
        groups[item.concept, item.is_class].append(item)
    for items in groups.values():
        for item in heapq.nlargest(LOOKED_AT, items, key=lambda one: len(one.caption.text)):
            handling = dataset.handling(item)
            for line in lines_of(item, handling.captions, handling.concept, handling.wording):
                yield worded(line.text, line.sentence, line.words)
