"""Small networks put beside a model's modules, and taken away again without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.dropping import Piece
from lib_dreambooth.adapters.low_rank import LowRank
from lib_dreambooth.adapters.parts import Part, moving_roots, put_back, start_parts, state_of, stop_parts
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.lora import AdapterModule


class Beside(Protocol):
    """What stands beside one module: an nn.Module of any kind of network."""

    def changed(self, output: Tensor, x: Tensor, layer: nn.Module, strength: float = 1.0) -> Tensor:
        """What the layer gives for `x` with the network at work, where it gave `output` without."""
        ...

    def norm(self, layer: nn.Module) -> Tensor:
        """The length of the change of the layer's weights; one number."""
        ...

    def limit_norm(self, max_norm: float, layer: nn.Module) -> Tensor:
        """Shrinks a longer change, where its kind can; whether it did, still on its device."""
        ...

    def changes(self, layer: nn.Module) -> dict[str, Callable[[], Tensor]]:
        """What is added to each of the layer's tensors, made when it is asked for; float32."""
        ...

    def to_file(self) -> AdapterModule:
        """The parts as files have them."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def train(self, mode: bool = True) -> Any: ...


class Attached:
    """A network at work. The model's own weights are never touched, so `eject` restores every bit."""

    def __init__(
        self,
        roots: Mapping[str, nn.Module],
        names: AdapterNames,
        adapters: Mapping[Target, Beside],
        *,
        strengths: Mapping[str, float] | None = None,
        rates: Mapping[Target, Mapping[str, float]] | None = None,
        seen: Mapping[Target, nn.Module] | None = None,
    ) -> None:
        """Strengths by part; rates, as factors, by module and the name of its parameter.

        `seen` are layers that networks take for those they stand beside.
        """
        self.names = names
        self.adapters = dict(adapters)
        self.strengths = dict.fromkeys({target.part for target in adapters}, 1.0) | dict(strengths or {})
        self._rates = rates or {}
        self._layers = {target: roots[target.part].get_submodule(target.path) for target in self.adapters}
        self._seen = self._layers | dict(seen or {})
        # Layers whose networks are not at work by way of a hook now.
        self._elsewhere: set[Target] = set()
        self._handles = {target: self._hooked(target) for target in self.adapters}
        self._parts = [
            Part(
                f"{self.names.written[target]}.{role}",
                parameter,
                target.part,
                self._rates.get(target, {}).get(role, 1.0),
            )
            for target, adapter in self.adapters.items()
            for role, parameter in adapter.named_parameters()
        ]

    def _hooked(self, target: Target) -> RemovableHandle:
        hook = self._hook(target.part, self.adapters[target], self._seen[target])
        return self._layers[target].register_forward_hook(hook)

    def _hook(
        self, part: str, adapter: Beside, seen: nn.Module
    ) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        strengths = self.strengths

        def change(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            strength = strengths[part]
            return adapter.changed(output, args[0], seen, strength) if strength else output

        return change

    @property
    def is_attached(self) -> bool:
        return bool(self._handles or self._elsewhere)

    def parts(self) -> list[Part]:
        """Everything that can be trained, in the order of the modules."""
        return list(self._parts)

    def layer(self, target: Target) -> nn.Module:
        """The layer that a network stands beside."""
        return self._layers[target]

    def seen(self, target: Target) -> nn.Module:
        """What the network takes for its layer: the layer, or what others before it have made of it."""
        return self._seen[target]

    @contextmanager
    def unhooked(self, targets: Iterable[Target]) -> Iterator[None]:
        """While inside, somebody else sees to the networks beside these layers."""
        away = [target for target in targets if target in self._handles]
        for target in away:
            self._handles.pop(target).remove()
        self._elsewhere.update(away)
        try:
            yield
        finally:
            self._handles.update(
                {target: self._hooked(target) for target in away if target in self._elsewhere}
            )
            self._elsewhere.difference_update(away)

    def state(self) -> dict[str, Tensor]:
        """Every trained tensor by a name that stays the same between runs."""
        return state_of(self.parts())

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts a `state` back in place; parameters stay the same objects."""
        put_back(self.parts(), state)

    def training(self, is_on: bool) -> None:
        """Whether dropouts act."""
        for adapter in self.adapters.values():
            adapter.train(is_on)

    @contextmanager
    def in_piece(self, piece: Piece) -> Iterator[None]:
        """While inside, the UNet is given these rows of a batch, and what is drawn is drawn for all of it."""
        beside = [
            adapter
            for target, adapter in self.adapters.items()
            if target.part == UNET and isinstance(adapter, LowRank | Dense)
        ]
        try:
            for adapter in beside:
                adapter.piece = piece
            yield
        finally:
            for adapter in beside:
                adapter.piece = None

    def strength(self, value: float) -> None:
        """How much of it acts, in every part; at 0 the model answers as if it were not there, bit for bit."""
        self.strengths.update(dict.fromkeys(self.strengths, value))

    def limit_norms(self, max_norm: float) -> Tensor:
        """Shrinks networks whose change is longer than `max_norm`; how many, on their device."""
        if max_norm <= 0:
            return torch.tensor(0)
        shrunk = [
            adapter.limit_norm(max_norm, self._layers[target]) for target, adapter in self.adapters.items()
        ]
        return torch.stack(shrunk).sum() if shrunk else torch.tensor(0)

    @torch.no_grad()
    def norms(self) -> dict[str, Tensor]:
        """By part the length of all changes together."""
        lengths: dict[str, list[Tensor]] = {}
        for target, adapter in self.adapters.items():
            lengths.setdefault(target.part, []).append(adapter.norm(self._layers[target]))
        return {part: torch.stack(found).norm() for part, found in lengths.items()}

    def start(self, part: str) -> None:
        """Lets a part that was stopped move again."""
        start_parts(self.parts(), part)

    def stop(self, part: str) -> None:
        """The part acts on, but stays as it is."""
        stop_parts(self.parts(), part)

    def trained_roots(self) -> set[str]:
        """The parts of the model that gradients have to reach now."""
        return moving_roots(self.parts())

    def export(self) -> dict[Target, AdapterModule]:
        """What `formats.lora.write_adapter` writes."""
        return {target: adapter.to_file() for target, adapter in self.adapters.items()}

    def changes(self) -> dict[Target, dict[str, Callable[[], Tensor]]]:
        """What is added to each tensor of the model, made when it is asked for."""
        return {target: adapter.changes(self._layers[target]) for target, adapter in self.adapters.items()}

    def eject(self) -> None:
        """Takes the network away; doing so twice does nothing."""
        handles, self._handles = self._handles, {}
        self._elsewhere.clear()
        for handle in handles.values():
            handle.remove()
