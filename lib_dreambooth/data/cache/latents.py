"""Pictures encoded once: mean and spread of each cut that can occur, so that every visit draws afresh."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.ahead import ahead
from lib_dreambooth.data.buckets.cuts import Cut
from lib_dreambooth.data.cache.keys import grouped, latent_key, name_in_group
from lib_dreambooth.data.cache.stores import Store, Tensors, Waiting
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.data.pictures.rendering import Rendered, Treatment, render
from lib_dreambooth.data.scanning.facts import hash_path

# Pixels of -1 to 1, (count, 3, height, width), to mean and standard deviation, (count, channels, h, w).
Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Moments:
    """What the encoder says about one cut; `mask` is (h, w) of 8 bits where the picture has one."""

    mean: Tensor
    std: Tensor
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One cut of one picture."""

    item: Item
    cut: Cut
    treatment: Treatment


@dataclass(slots=True)
class Filled:
    """What filling did. `failed` are pictures that could not be read, by item id: fill again without them."""

    encoded: int = 0
    reused: int = 0
    failed: dict[str, Finding] = field(default_factory=dict)


# Cuts that are encoded together, each with its key.
Group = list[tuple[str, Wanted]]


class LatentCache:
    """Latents of cuts under one VAE.

    `vae` names everything about the encoder that its numbers depend on. `group_size` is how many cuts it
    gets at once; which ones follows from their content, so it does not matter what was there before.
    """

    def __init__(self, store: Store, vae: str, group_size: int = 1, latent_scale: int = 8) -> None:
        self.store = store
        self.vae = vae
        self.group_size = group_size
        self.latent_scale = latent_scale
        self._names: dict[str, str] = {}

    def fill(
        self,
        wanted: Iterable[Wanted],
        encode: Encode,
        workers: int = 2,
        progress: Callable[[int, int], None] = lambda done, total: None,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> Filled:
        """Encodes what is missing. Stopped at any point, what was encoded is kept and has the same bytes."""
        wanted = list(wanted)
        groups = self.groups(wanted)
        missing = [group for group in groups if not self._is_whole(group)]
        total = sum(map(len, groups))
        report = Filled(reused=total - sum(map(len, missing)))
        progress(report.reused, total)
        # All cuts of one picture are rendered together, so that it is decoded once.
        chunks = [list(alike) for _, alike in groupby(missing, key=what_to_decode)]
        waiting = Waiting(self.store)
        try:
            for chunk, rendered in zip(chunks, ahead(self._render, chunks, workers), strict=True):
                for group in chunk:
                    check_cancelled()
                    failed = {want.item.content for _, want in group} & rendered.failed.keys()
                    report.failed |= {
                        # Copies of one picture share its entry, so they fail together.
                        want.item.id: rendered.failed[want.item.content]
                        for want in (wanted if failed else ())
                        if want.item.content in failed
                    }
                    if not failed:
                        waiting.add(self._encode(group, rendered.pictures, encode))
                        report.encoded += len(group)
                    progress(report.reused + report.encoded + len(report.failed), total)
        finally:
            waiting.flush()
        return report

    def groups(self, wanted: Iterable[Wanted]) -> list[Group]:
        """What is encoded together, in a fixed order; the names of entries are learned on the way."""
        by_key = {latent_key(want.item, want.cut, want.treatment, self.vae): want for want in wanted}
        in_order = sorted(by_key, key=lambda key: (by_key[key].cut.size, by_key[key].item.content, key))
        groups = []
        for _, alike in groupby(in_order, key=lambda key: by_key[key].cut.size):
            for group in grouped(list(alike), self.group_size):
                groups.append([(key, by_key[key]) for key in group])
                self._names |= {key: name_in_group(key, group) for key in group}
        return groups

    def names(self) -> list[str]:
        """The store's names of everything that was wanted so far."""
        return list(self._names.values())

    def moments(self, item: Item, cut: Cut, treatment: Treatment) -> Moments | None:
        """A cut's entry; None where it is not there or was found damaged."""
        key = latent_key(item, cut, treatment, self.vae)
        found = self.store.read(self._names.get(key, key))
        if found is None:
            return None
        mean, std = found["moments"]
        return Moments(mean, std, found.get("mask"))

    def _is_whole(self, group: Group) -> bool:
        # Reading tells damage; what was read is still in the system's memory when training wants it.
        return all(self.store.read(self._names[key]) is not None for key, _ in group)

    def _render(self, chunk: Sequence[Group]) -> Pixels:
        """The pixels of some groups' cuts by key, and of which pictures they cannot be had."""
        found = Pixels({}, {})
        wants = [pair for group in chunk for pair in group]
        for (path, treatment), alike in groupby(
            wants, key=lambda pair: (pair[1].item.path, pair[1].treatment)
        ):
            pairs = list(alike)
            item = pairs[0][1].item
            try:
                if is_replaced(item):
                    found.failed[item.content] = changed(path)
                    continue
                cuts = [want.cut for _, want in pairs]
                rendered = render(item, cuts, treatment, self.latent_scale)
            except FileError as error:
                found.failed[item.content] = unreadable(path, error)
                continue
            found.pictures.update(zip((key for key, _ in pairs), rendered, strict=True))
        return found

    def _encode(self, group: Group, pictures: dict[str, Rendered], encode: Encode) -> dict[str, Tensors]:
        mean, std = encode(torch.stack([to_tensor(pictures[key].pixels) for key, _ in group]))
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise not_finite(group[0][1].item.path)
        entries = {}
        for place, (key, _) in enumerate(group):
            # One tensor, since each costs a read of its own.
            tensors = {"moments": torch.stack([mean[place].cpu(), std[place].cpu()])}
            mask = pictures[key].mask
            if mask is not None:
                tensors["mask"] = torch.from_numpy(mask.copy())
            entries[self._names[key]] = tensors
        return entries


def num_bytes_of(wanted: Iterable[Wanted], channels: int = 4, latent_scale: int = 8, number: int = 4) -> int:
    """What a cache of these cuts takes, with `number` bytes for each number."""
    total = 0
    for want in wanted:
        places = want.cut.size[0] // latent_scale * (want.cut.size[1] // latent_scale)
        total += places * (2 * channels * number + (want.item.mask_kind != "none"))
    return total


@dataclass(frozen=True, slots=True)
class Pixels:
    """Rendered cuts by key, and findings by content."""

    pictures: dict[str, Rendered]
    failed: dict[str, Finding]


def is_replaced(item: Item) -> bool:
    """True where a picture or its mask is not what was scanned."""
    if hash_path(item.path) != item.content:
        return True
    return bool(item.mask_path) and hash_path(item.mask_path) != item.mask_content


def what_to_decode(group: Group) -> str:
    """The one picture that a group is cut from; a name of its own for a group of several."""
    paths = {want.item.path for _, want in group}
    return f"picture {paths.pop()}" if len(paths) == 1 else f"group {group[0][0]}"


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(height, width, 3) of 8 bits as (3, height, width) from -1 to 1, float32."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).to(torch.float32) / 127.5 - 1.0


def unreadable(path: str, error: FileError) -> Finding:
    """A picture that went, or turned out damaged, after it was scanned."""
    return Finding(error.code, "error", (path,), error.what, "It is left out of this run.", error.todo)


def changed(path: str) -> Finding:
    """A picture that is not the one that was scanned."""
    return Finding(
        "picture-changed",
        "warning",
        (path,),
        "The picture was replaced after the folder was read.",
        "It is left out of this run.",
        "Start again to train the new one.",
    )


def not_finite(path: str) -> UserError:
    """The refusal where the VAE gives numbers that are none."""
    return UserError(
        "the VAE gives no usable numbers for this picture (not a number, or infinite).",
        where=path,
        todo="Set VAE Precision to fp32; SDXL's own VAE breaks in fp16.",
        code="vae-not-finite",
    )
