"""Low-rank weights put beside a model's modules, and taken away again without a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.low_rank import LowRank
from lib_dreambooth.adapters.targets import module_at
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.lora import AdapterModule


@dataclass(frozen=True, eq=False)
class Trained:
    """One tensor for the optimizer: whose it is and which of the matrices."""

    target: Target
    role: str  # "down", "up" or "mid"
    parameter: nn.Parameter


class Attached:
    """An adapter at work. The model's own weights are never touched, so `eject` restores every bit."""

    def __init__(
        self,
        roots: Mapping[str, nn.Module],
        names: AdapterNames,
        adapters: Mapping[Target, LowRank],
        strengths: Mapping[str, float] | None = None,
    ) -> None:
        self.names = names
        self.adapters = dict(adapters)
        self.strengths = dict.fromkeys({target.part for target in adapters}, 1.0) | dict(strengths or {})
        self._handles = [
            module_at(roots[target.part], target.path).register_forward_hook(self._hook(target, adapter))
            for target, adapter in self.adapters.items()
        ]

    def _hook(self, target: Target, adapter: LowRank) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def add(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            strength = self.strengths[target.part]
            return output if strength == 0 else output + adapter(args[0], layer) * strength

        return add

    @property
    def is_attached(self) -> bool:
        return bool(self._handles)

    def parts(self) -> list[Trained]:
        """Everything that can be trained, in the order of the targets."""
        return [
            Trained(target, role, parameter)
            for target, adapter in self.adapters.items()
            for role, parameter in adapter.named_parameters()
        ]

    def state(self) -> dict[str, Tensor]:
        """Every trained tensor by a name that stays the same between runs."""
        return {
            f"{self.names.written[part.target]}.{part.role}": part.parameter.detach() for part in self.parts()
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts a `state` back in place; parameters stay the same objects."""
        for part in self.parts():
            part.parameter.copy_(state[f"{self.names.written[part.target]}.{part.role}"])

    def export(self) -> dict[Target, AdapterModule]:
        """What `formats.lora.write_adapter` writes."""
        return {target: adapter.to_file() for target, adapter in self.adapters.items()}

    def eject(self) -> None:
        """Takes the adapter away; doing so twice does nothing."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()
