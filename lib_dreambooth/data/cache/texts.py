"""Captions encoded once.

Draws are functions, so the captions of a coming epoch are known before it begins, shuffled or not: they are
encoded ahead and the text encoders leave the card again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.cache.keys import grouped, name_in_group, text_key
from lib_dreambooth.data.cache.stores import MemoryStore, Store, Tensors, Waiting

# Captions to the named tensors of each: hidden states of each encoder, pooled states.
EncodeTexts = Callable[[Sequence[str]], list[Tensors]]


class TextCache:
    """States of captions under some text encoders.

    `encoder` names everything that the numbers depend on: weights, clip skip, length, precision. `group_size`
    is how many captions are encoded at once; which ones follows from all the captions asked for together.
    """

    def __init__(self, store: Store, encoder: str, group_size: int = 1) -> None:
        self.store = store
        self.encoder = encoder
        self.group_size = group_size
        self._names: dict[str, str] = {}

    def prepare(
        self,
        captions: Iterable[str],
        encode: EncodeTexts,
        progress: Callable[[int, int], None] = lambda done, total: None,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> int:
        """Makes `states` ready for exactly these captions; gives how many had to be encoded.

        What a memory store holds beyond them is forgotten.
        """
        by_key = {text_key(caption, self.encoder): caption for caption in captions}
        groups = grouped(sorted(by_key), self.group_size)
        self._names = {by_key[key]: name_in_group(key, group) for group in groups for key in group}
        if isinstance(self.store, MemoryStore):
            self.store.keep_only(self._names.values())
        missing = [
            group for group in groups if any(self.store.read(self._names[by_key[k]]) is None for k in group)
        ]
        encoded = 0
        waiting = Waiting(self.store)
        progress(len(by_key) - sum(map(len, missing)), len(by_key))
        try:
            for group in missing:
                check_cancelled()
                texts = [by_key[key] for key in group]
                waiting.add({self._names[t]: states for t, states in zip(texts, encode(texts), strict=True)})
                encoded += len(group)
                progress(len(by_key) - sum(map(len, missing)) + encoded, len(by_key))
        finally:
            waiting.flush()
        return encoded

    def names(self) -> list[str]:
        """The store's names of the captions that were prepared."""
        return list(self._names.values())

    def states(self, caption: str) -> Tensors:
        """The states of a prepared caption."""
        name = self._names.get(caption)
        found = self.store.read(name) if name is not None else None
        if found is None:
            raise UserError(
                "the stored state of a caption is gone or damaged.",
                where=caption[:80],
                todo="Continue the run: what is missing is encoded again.",
                code="cache-damaged",
            )
        return found
