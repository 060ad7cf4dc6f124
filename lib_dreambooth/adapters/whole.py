"""The model's own weights, trained in place: all of a part, or the blocks that the settings name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.blocks import is_in_block, names_of_block, original_names
from lib_dreambooth.adapters.parts import Part, moving_roots, put_back, start_parts, state_of, stop_parts
from lib_dreambooth.adapters.patterns import like
from lib_dreambooth.adapters.planning import Ground, nothing_left, rate_of, useless_rates
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.formats.adapter_names import Target
from lib_dreambooth.formats.keymap import UNET

LAYERS = "text_model.encoder.layers."


class TextUse(Protocol):
    """What of a text encoder is read; the rules of `models.families` say it."""

    @property
    def layer(self) -> int: ...

    @property
    def has_final_norm(self) -> bool: ...

    @property
    def takes_clip_skip(self) -> bool: ...

    @property
    def is_pooled(self) -> bool: ...


class Whole:
    """Weights of the model that are trained themselves.

    `eject` freezes them again, but they stay trained: whoever needs the base reads it anew.
    """

    def __init__(self, parts: Collection[Part], dtype: torch.dtype) -> None:
        """Turns the parameters into `dtype` and lets them move; they stay the same objects."""
        self._parts = list(parts)
        self._before = [part.parameter.requires_grad for part in self._parts]
        self.is_attached = True
        for part in self._parts:
            part.parameter.data = part.parameter.data.to(dtype)
            part.parameter.requires_grad_(True)

    def parts(self) -> list[Part]:
        """Every tensor that is trained, in the model's order."""
        return list(self._parts)

    def state(self) -> dict[str, Tensor]:
        """Every trained tensor by part and name, `text_model.` included whatever the library calls it."""
        return state_of(self._parts)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts a `state` back in place; parameters stay the same objects."""
        put_back(self._parts, state)

    def training(self, is_on: bool) -> None:
        """Nothing here is left out by chance."""

    def strength(self, value: float) -> None:
        """The weights are the model's own: they act whole, whatever is asked for."""

    def limit_norms(self, max_norm: float) -> Tensor:
        """Whole weights are not limited."""
        return torch.tensor(0)

    @torch.no_grad()
    def norms(self) -> dict[str, Tensor]:
        """By part the length of all trained weights together."""
        lengths: dict[str, list[Tensor]] = {}
        for part in self._parts:
            lengths.setdefault(part.part, []).append(part.parameter.float().norm())
        return {part: torch.stack(found).norm() for part, found in lengths.items()}

    def start(self, part: str) -> None:
        """Lets a part that was stopped move again."""
        start_parts(self._parts, part)

    def stop(self, part: str) -> None:
        """The part stays as it is from here on."""
        stop_parts(self._parts, part)

    def trained_roots(self) -> set[str]:
        """The parts of the model that gradients have to reach now."""
        return moving_roots(self._parts)

    def eject(self) -> None:
        """Freezes what was frozen before and gives gradients back; doing so twice does nothing."""
        if not self.is_attached:
            return
        self.is_attached = False
        for part, was_trained in zip(self._parts, self._before, strict=True):
            part.parameter.requires_grad_(was_trained)
            part.parameter.grad = None


def attach_whole(
    ground: Ground, roots: Mapping[str, nn.Module], rules: Mapping[str, TextUse], dtype: torch.dtype
) -> Whole:
    """The weights that the settings choose. Raises UserError where blocks or patterns fit nothing."""
    check_blocks(ground)
    unet = ground.run.parts.unet
    originals = original_names(ground.names)
    chosen = []
    for part in ground.parts:
        idle = idle_starts(rules.get(part), ground.run.model.clip_skip, roots[part])
        for name, parameter in roots[part].named_parameters():
            target = Target(part, name.rpartition(".")[0])
            is_kept = part != UNET or not unet.blocks or _is_in_any(unet.blocks, target, originals)
            rate = rate_of(ground, target) if is_kept and not name.startswith(idle) else 0.0
            if rate > 0:
                chosen.append(Part(f"{part}.{name}", parameter, part, rate))
    if not chosen:
        raise nothing_left("parts")
    return Whole(chosen, dtype)


def idle_starts(rule: TextUse | None, clip_skip: int, root: nn.Module) -> tuple[str, ...]:
    """How the names of parameters of a text encoder start that nothing reads: no gradient reaches them.

    Everything else is trained, word embeddings included, as in kohya's scripts.
    """
    if rule is None:
        return ()
    layer = clip_skip if rule.takes_clip_skip else rule.layer
    num_layers = sum(name.endswith(".layer_norm1.weight") for name, _ in root.named_parameters())
    if rule.is_pooled:
        # The pooled state is made of the last layer.
        return ()
    idle = [f"{LAYERS}{index}." for index in range(num_layers - (layer - 1), num_layers)]
    if layer > 1 and not rule.has_final_norm:
        idle.append("text_model.final_layer_norm.")
    return (*idle, "text_projection.")


def _is_in_any(patterns: Collection[str], target: Target, originals: Mapping[Target, str]) -> bool:
    return any(is_in_block(pattern, target, originals) for pattern in patterns)


def check_blocks(ground: Ground) -> None:
    """Raises SettingsError for patterns that fit no block or layer."""
    if UNET not in ground.parts:
        return
    originals = original_names(ground.names)
    layers = [target for target in ground.names.shapes if target.part == UNET]
    # The last two of each are the layer itself.
    known = dict.fromkeys(name for layer in layers for name in names_of_block(layer, originals)[:-2])
    problems = [
        UserError(
            f"no block of the UNet is called `{pattern}`.",
            where="parts.unet.blocks",
            todo=f"Blocks are called like {like(pattern, known)}, or like layers; * stands for any text.",
            code="no-such-block",
        )
        for pattern in ground.run.parts.unet.blocks
        if not any(is_in_block(pattern, layer, originals) for layer in layers)
    ]
    problems += useless_rates(ground, layers)
    if problems:
        raise SettingsError(problems)
