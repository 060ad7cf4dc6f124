"""The states of captions: encoded ahead where no text encoder and no word is trained, else with every batch.

N: tokens, D: width of an encoder, P: width of the pooled state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.data.cache.stores import Store, Tensors
from lib_dreambooth.data.cache.texts import TextCache
from lib_dreambooth.models.encode import TextStates, unpadded_length
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.encoding import caption_states, text_style

POOLED = "pooled"


class LiveTexts:
    """Encodes each batch's captions with the encoders as they are; gradients flow where they are trained."""

    def __init__(self, model: LoadedModel, run: Run) -> None:
        self.model = model
        self.style = text_style(run)
        self.pads = run.captions.pad

    def prepare(
        self, captions: Iterable[str], progress: Progress, check: Check, come: Check = lambda: None
    ) -> None:
        """Nothing can be encoded ahead of weights that move."""

    def __call__(self, captions: Sequence[str]) -> TextStates:
        return self.as_long_as_wanted(captions, self.padded(captions))

    def padded(self, captions: Sequence[str]) -> TextStates:
        """Every caption filled up to whole chunks."""
        return caption_states(self.model, captions, self.style)

    def length_of(self, caption: str) -> int:
        """How many states the caption has up to its end."""
        return unpadded_length([caption], self.style, self.model.words)

    def as_long_as_wanted(self, captions: Sequence[str], states: TextStates) -> TextStates:
        """Filled up as the run wants it: to whole chunks, or to the longest caption of the batch alone."""
        return states if self.pads else states.cut(unpadded_length(captions, self.style, self.model.words))


class CachedTexts:
    """Captions of an epoch encoded before it, each alone, so that no state depends on its neighbours."""

    def __init__(self, model: LoadedModel, run: Run, store: Store, encoder_name: str) -> None:
        self._live = LiveTexts(model, run)
        style = self._live.style
        self.cache = TextCache(store, digest(encoder_name, repr(style)))

    def prepare(
        self, captions: Iterable[str], progress: Progress, check: Check, come: Check = lambda: None
    ) -> None:
        """Encodes what of these captions is not there yet; exactly these can be asked for afterwards.

        The empty caption is among them: it fills up shorter captions. `come` brings the encoders.
        """

        def encode(wanted: Sequence[str]) -> list[Tensors]:
            come()
            return self._encode(wanted)

        self.cache.prepare({*captions, ""}, encode, progress, check)

    def __call__(self, captions: Sequence[str]) -> TextStates:
        found = stacked([self.cache.states(caption) for caption in captions], self.cache.states(""))
        return self._live.as_long_as_wanted(captions, found)

    def length_of(self, caption: str) -> int:
        """How many states the caption has up to its end."""
        return self._live.length_of(caption)

    @torch.no_grad()
    def _encode(self, captions: Sequence[str]) -> list[Tensors]:
        found = []
        for caption in captions:
            states = self._live.padded([caption])
            tensors = {str(number): one[0].cpu() for number, one in enumerate(states.states)}
            if states.pooled is not None:
                tensors[POOLED] = states.pooled[0].cpu()
            found.append(tensors)
        return found


Progress = Callable[[int, int], None]
Check = Callable[[], None]
Texts = LiveTexts | CachedTexts


def stacked(found: Sequence[Tensors], empty: Tensors) -> TextStates:
    """One batch of single captions; shorter ones are filled up with the states of the empty one."""
    names = sorted((name for name in found[0] if name != POOLED), key=int)
    longest = max(len(one[names[0]]) for one in found)
    states = tuple(torch.stack([filled(one[name], empty[name], longest) for one in found]) for name in names)
    pooled = torch.stack([one[POOLED] for one in found]) if POOLED in found[0] else None
    return TextStates(states, pooled)


def filled(states: Tensor, empty: Tensor, length: int) -> Tensor:
    """States [N, D] with as many empty chunks behind them as `length` asks for."""
    missing = length - len(states)
    return torch.cat([states, *[empty] * (missing // len(empty))]) if missing else states
