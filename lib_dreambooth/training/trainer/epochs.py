"""What has to be encoded before an epoch: latents of its pictures, states of its captions."""

from __future__ import annotations

from collections.abc import Callable

from lib_dreambooth.data.cache.latents import Filled
from lib_dreambooth.data.cache.stores import DiskStore
from lib_dreambooth.data.order.batches import MicroBatch, Visit
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.training.encoding import latent_encoder
from lib_dreambooth.training.trainer.base_answers import Stored
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.measuring import measured_batches
from lib_dreambooth.training.trainer.mishaps import trim_heap
from lib_dreambooth.training.trainer.ready import Materials, Ready
from lib_dreambooth.training.trainer.texts import CachedTexts

Progress = Callable[[str, int, int], None]
BYTES_IN_GB = 1e9
LATENTS, CAPTIONS = "encoding pictures", "encoding captions"


def encode_epoch(ready: Materials, epoch: int, control: Control, progress: Progress) -> Filled:
    """Encodes what the epoch needs and is not there yet. The encoders are on the card meanwhile only."""
    filled = Filled()
    dataset, latents = ready.dataset, ready.latents
    only_measured = measured_visits(ready)
    if latents is not None:
        pairs = dataset.plan.pairs_of_epoch(epoch)
        pairs += [(visit.item, batch.size) for visit, batch in only_measured]
        with ready.places.when_needed([VAE]) as come:
            filled = latents.fill(
                dataset.wanted(pairs),
                latent_encoder(ready.model, come),
                progress=lambda done, total: progress(LATENTS, done, total),
                check_cancelled=control.check,
            )
    encoders = [encoder.part for encoder in ready.model.encoders]
    with ready.places.when_needed(encoders) as come:
        ready.texts.prepare(
            [*dataset.captions_of_epoch(epoch), *(dataset.caption(*one) for one in only_measured)],
            lambda done, total: progress(CAPTIONS, done, total),
            control.check,
            come,
        )
    keep_in_bounds(ready)
    trim_heap()
    return filled


def keep_in_bounds(ready: Materials) -> None:
    """Removes from the caches on the disk what was unused for longest, beyond the limit on all together.

    What this epoch needs stays, however much it is.
    """
    left = ready.run.memory.cache_limit * BYTES_IN_GB
    texts = ready.texts.cache if isinstance(ready.texts, CachedTexts) else None
    asked = ready.base_answers if isinstance(ready, Ready) else None
    answers = asked if isinstance(asked, Stored) else None
    for cache in (answers, texts, ready.latents):
        if cache is not None and isinstance(cache.store, DiskStore):
            cache.store.bound(left, cache.names())
            left -= cache.store.num_bytes


def measured_visits(ready: Materials) -> list[tuple[Visit, MicroBatch]]:
    """Each picture that is only measured, class pictures included, with the batch that it is in."""
    return [
        (visit, batch)
        for batches in measured_batches(ready).values()
        for batch in batches
        for visit in batch.visits
    ]
