"""Names of cache entries: a hash of everything that the entry's numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from lib_dreambooth.data.buckets.cuts import Cut
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.rendering import Treatment

# Raised whenever the same picture would come out differently: decoding, scaling, cutting.
VERSION = 1


def latent_key(item: Item, cut: Cut, treatment: Treatment, vae: str) -> str:
    """One cut of one picture under one VAE. `vae` names its weights, precision and kind of device."""
    return digest(
        "latent",
        VERSION,
        item.content,
        item.mask_content,
        item.mask_kind,
        [*cut.size, *cut.scaled, cut.left, cut.top, cut.flipped],
        [treatment.alpha, *treatment.background, treatment.scaling, treatment.upright],
        vae,
    )


def text_key(caption: str, encoder: str) -> str:
    """One caption under some text encoders. `encoder` names weights, clip skip, length and precision."""
    return digest("text", VERSION, caption, encoder)


def digest(*parts: Any) -> str:
    """32 hexadecimal digits for a list of plain values."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def grouped(keys: Sequence[str], size: int) -> list[list[str]]:
    """Sorted keys in groups that are encoded together, at most `size` of them.

    An encoder's last bits depend on how many it gets at once. So groups follow from the keys alone: a key
    whose own digits say so begins a group. Adding one changes at most the groups around it.
    """
    groups: list[list[str]] = []
    for key in keys:
        if not groups or len(groups[-1]) >= size or int(key[:8], 16) % size == 0:
            groups.append([])
        groups[-1].append(key)
    return groups


def name_in_group(key: str, group: Sequence[str]) -> str:
    """The entry's name: the key itself where it was encoded alone, else one that names its company too."""
    return key if len(group) == 1 else digest("group", key, list(group))
