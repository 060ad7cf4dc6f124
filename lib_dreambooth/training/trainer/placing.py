"""Which parts of the model are on the card: each comes when it is needed and makes room when it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

import torch

from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.generator import Stage


class Places:
    """The parts of a model in system memory or on the card; `here` are those on the card.

    `keeps_all`: what came once stays. `is_alone`: what is not at work leaves, so that a text encoder, the VAE
    and the UNet are never on the card together outside the steps. None of it changes a number.
    """

    def __init__(
        self, model: LoadedModel, device: torch.device, *, keeps_all: bool = False, is_alone: bool = False
    ) -> None:
        self.model = model
        self.device = device
        self.keeps_all = keeps_all
        self.is_alone = is_alone and not keeps_all
        self.here: set[str] = set()

    def settle(self, parts: Collection[str]) -> None:
        """From now on these are on the card, and no others where others may leave."""
        wanted = set(self.model.modules) if self.keeps_all else set(parts)
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
            self.model.to(part, self.device)
            self.here.add(part)

    def _leave(self, parts: Collection[str]) -> None:
        for part in [one for one in self.model.modules if one in parts]:
            self.model.to(part, "cpu")
            self.here.discard(part)
        if parts and self.device.type == "cuda":
            # What the allocator keeps of them would be missing where it has no piece that is large enough.
            torch.cuda.empty_cache()
