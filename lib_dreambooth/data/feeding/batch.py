"""A micro-batch as tensors on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.cache.latents import LatentCache, Moments, to_tensor
from lib_dreambooth.data.cache.stores import Tensors
from lib_dreambooth.data.cache.texts import TextCache
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.order.batches import MicroBatch, Visit
from lib_dreambooth.data.pictures.recolouring import recolour
from lib_dreambooth.data.pictures.rendering import render
from lib_dreambooth.diffusion.draws import Draw

# The states of several captions as one batch; captions of different lengths are the encoder's business.
StackTexts = Callable[[Sequence[Tensors]], Tensors]


@dataclass(frozen=True)
class Batch:
    """What goes into the model. n pictures of one size; h and w are in latents.

    Either `latents` (n, channels, h, w) or `pixels` (n, 3, height, width) from -1 to 1. `masks` (n, 1, h, w)
    from 0 to 1, None where no picture has one. `size_ids` (n, 6) as SDXL takes them. The loss of the step is
    the sum of `shares` (n) times each picture's loss, over all its batches and processes.
    """

    plan: MicroBatch
    captions: tuple[str, ...]
    shares: Tensor
    size_ids: Tensor
    latents: Tensor | None = None
    pixels: Tensor | None = None
    masks: Tensor | None = None
    texts: Tensors | None = None


@dataclass(frozen=True)
class Assembler:
    """Makes a batch from its place in the plan; the same one whenever and wherever it is called.

    Without `latents` batches carry pixels, without `texts` only their captions. `fresh` draws latents anew at
    each visit, otherwise once for the run.
    """

    dataset: Dataset
    latents: LatentCache | None = None
    texts: TextCache | None = None
    stack_texts: StackTexts | None = None
    fresh: bool = True
    latent_scale: int = 8

    def make(self, batch: MicroBatch) -> Batch:
        """The tensors of one micro-batch."""
        visits = batch.visits
        captions = tuple(self.dataset.caption(visit, batch) for visit in visits)
        latents, pixels = None, None
        if self.latents is not None and all(map(self._is_cached, visits)):
            latents, masks = self._from_cache(self.latents, batch)
        else:
            pixels, masks = self._from_files(batch)
        return Batch(
            batch,
            captions,
            torch.tensor([visit.share for visit in visits], dtype=torch.float32),
            torch.tensor([self.dataset.size_ids(v, batch.size) for v in visits], dtype=torch.float32),
            latents,
            pixels,
            stack_masks(masks, batch, self.latent_scale),
            self._texts(captions),
        )

    def _is_cached(self, visit: Visit) -> bool:
        return self.dataset.handling(visit.item).can_cache(visit.item)

    def _from_cache(self, cache: LatentCache, batch: MicroBatch) -> tuple[Tensor, list[Tensor | None]]:
        found = [self._moments(cache, visit, batch) for visit in batch.visits]
        return draw_latents(found, batch.visits, self.dataset.run.draws.seed, self.fresh), [
            m.mask for m in found
        ]

    def _moments(self, cache: LatentCache, visit: Visit, batch: MicroBatch) -> Moments:
        cut = self.dataset.cut(visit, batch.size)
        found = cache.moments(visit.item, cut, self.dataset.handling(visit.item).treatment)
        if found is None:
            raise damaged(visit.item.path)
        return found

    def _from_files(self, batch: MicroBatch) -> tuple[Tensor, list[Tensor | None]]:
        pixels, masks = [], []
        for visit in batch.visits:
            handling = self.dataset.handling(visit.item)
            cut = self.dataset.cut(visit, batch.size)
            rendered = render(visit.item, [cut], handling.treatment, self.latent_scale)[0]
            draw = Draw(self.dataset.run.draws.seed, "colour", visit.item.id, visit.number)
            change = handling.pictures.colour_change
            pixels.append(to_tensor(recolour(rendered.pixels, change, draw)))  # type: ignore[arg-type]
            masks.append(None if rendered.mask is None else torch.from_numpy(rendered.mask.copy()))
        return torch.stack(pixels), masks

    def _texts(self, captions: Sequence[str]) -> Tensors | None:
        if self.texts is None:
            return None
        states = [self.texts.states(caption) for caption in captions]
        return (self.stack_texts or stack_equal)(states)


def draw_latents(
    moments: Sequence[Moments], visits: Sequence[Visit], seed: int, fresh: bool = True
) -> Tensor:
    """One draw from each picture's distribution, keyed by its item and visit."""
    drawn = torch.empty((len(moments), *moments[0].mean.shape), dtype=torch.float32)
    for place, (one, visit) in enumerate(zip(moments, visits, strict=True)):
        draw = Draw(seed, "latent", visit.item.id, visit.number if fresh else 0)
        noise = draw.normal_tensor(tuple(one.mean.shape))
        torch.addcmul(one.mean.float(), one.std.float(), noise, out=drawn[place])
    return drawn


def stack_masks(masks: Sequence[Tensor | None], batch: MicroBatch, latent_scale: int) -> Tensor | None:
    """Masks of 8 bits as (n, 1, h, w) from 0 to 1; a picture without one is learned whole."""
    if all(mask is None for mask in masks):
        return None
    shape = batch.size[1] // latent_scale, batch.size[0] // latent_scale
    whole = torch.full(shape, 255, dtype=torch.uint8)
    return torch.stack([whole if mask is None else mask for mask in masks])[:, None].float() / 255.0


def stack_equal(states: Sequence[Tensors]) -> Tensors:
    """States of captions that all have the same length."""
    return {name: torch.stack([one[name] for one in states]) for name in states[0]}


def damaged(path: str) -> UserError:
    """The sentence for a latent that vanished while training."""
    return UserError(
        "the stored latent of a picture is gone or damaged.",
        where=path,
        todo="Continue the run: what is missing is encoded again.",
        code="cache-damaged",
    )
