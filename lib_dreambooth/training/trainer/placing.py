"""Which parts of the model are on the card: each comes when it is needed and makes room when it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from lib_dreambooth.models.loaded import HALVES, LoadedModel
from lib_dreambooth.sampling.generator import Stage
from lib_dreambooth.training.trainer.mishaps import trim_heap

NONE_OTHER: Mapping[str, torch.dtype] = {}


class Places:
    """The parts of a model in system memory or on the card; `here` are those on the card.

    `keeps_all`: what came once stays. `is_alone`: what is not at work leaves, so that a text encoder, the VAE
    and the UNet are never on the card together outside the steps. `dtypes` are the parts' precisions at work;
    a part that waits is kept in half precision where it came so. None of it changes a number.
    """

    def __init__(
        self,
        model: LoadedModel,
        device: torch.device,
        dtypes: Mapping[str, torch.dtype] = NONE_OTHER,
        *,
        keeps_all: bool = False,
        is_alone: bool = False,
    ) -> None:
        self.model = model
        self.device = device
        self._dtypes = dict(dtypes)
        self._came_as = {part: only_dtype(module) for part, module in model.modules.items()}
        self._settled: set[str] = set()
        self.keeps_all = keeps_all
        self.is_alone = is_alone and not keeps_all
        self.here: set[str] = set()

    def settle(self, parts: Collection[str]) -> None:
        """From now on these are on the card, and no others where others may leave."""
        wanted = set(self.model.modules) if self.keeps_all else set(parts)
        self._settled |= wanted
        self._leave(self.here - wanted)
        self._come(wanted)

    @contextmanager
    def at_work(self, parts: Collection[str]) -> Iterator[None]:
        """These are on the card while inside; afterwards what was there before."""
        before = set(self.here)
        if self.is_alone:
            self._leave(before - set(parts))
        self._come(parts)
        try:
            yield
        finally:
            if not self.keeps_all:
                self._leave(self.here - before)
            self._come(before)

    @contextmanager
    def when_needed(self, parts: Collection[str]) -> Iterator[Callable[[], None]]:
        """As `at_work`, from the first call of what it gives: where nothing is to be done nothing moves."""
        with ExitStack() as stack:
            is_here = False

            def come() -> None:
                nonlocal is_here
                if not is_here:
                    is_here = True
                    stack.enter_context(self.at_work(parts))

            yield come

    @contextmanager
    def drawing(self) -> Iterator[Stage | None]:
        """All parts at work; where they are at work alone, each in its turn, as who draws says which."""
        if self.is_alone:
            yield self.at_work
            return
        with self.at_work(self.model.modules):
            yield None

    def _come(self, parts: Collection[str]) -> None:
        for part in [one for one in self.model.modules if one in parts and one not in self.here]:
            self.model.to(part, self.device, self._dtypes.get(part))
            self.here.add(part)
            trim_heap()

    def _leave(self, parts: Collection[str]) -> None:
        for part in [one for one in self.model.modules if one in parts]:
            self.model.to(part, "cpu", self._waits_as(part))
            self.here.discard(part)
            trim_heap()
        if parts and self.device.type == "cuda":
            # What the allocator keeps of them would be missing where it has no piece that is large enough.
            torch.cuda.empty_cache()

    def _waits_as(self, part: str) -> torch.dtype | None:
        """The precision that a part waits in: the half one that all its numbers came in, and so fit into.

        Never for parts that the steps need: these may have learned meanwhile. What a part was turned into at
        work, because its own precision did not do, holds for the next time.
        """
        at_work, came_as = self.model.dtype_of(part), self._came_as[part]
        if part in self._settled or at_work != torch.float32 or came_as not in HALVES:
            return None
        self._dtypes[part] = at_work
        return came_as


def only_dtype(module: nn.Module) -> torch.dtype | None:
    """The precision of a module whose numbers all have the same."""
    found = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    return found.pop() if len(found) == 1 else None
