"""Going on from a LoRA file: its weights in float32 where new ones would be."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from lib_dreambooth.adapters.attached import Beside
from lib_dreambooth.adapters.lora import NUM_SHOWN, does_not_fit, fitted, require_plain
from lib_dreambooth.adapters.low_rank import Dropouts, LowRank
from lib_dreambooth.adapters.planning import Ground, Planned, left_in, norm_layers, rate_of
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import Target
from lib_dreambooth.formats.lora import AdapterModule, read_adapter

log = logging.getLogger(__name__)


class Start:
    """A file that a network starts from."""

    def __init__(self, path: Path, ground: Ground) -> None:
        """Raises FileError for other kinds and families, and where nothing in it is for this model."""
        file = read_adapter(path)
        require_plain(file.kind, path, ground.family)
        placed, unknown = file.placed(ground.names)
        if not placed:
            raise does_not_fit(path, f"none of its {len(unknown)} modules is in this model", ground.family)
        if unknown:
            _tell(path, "are not in this model", unknown)
        self.path = path
        self.ground = ground
        self.modules = placed

    def plan(self) -> list[Planned]:
        """The file's own layers with its ranks and alphas, less what the settings leave out."""
        layers = [target for target, module in self.modules.items() if "lora_down" in module.parts]
        kept = left_in(self.ground, [target for target in layers if target.part in self.ground.parts])
        found = [self._planned(target) for target in kept]
        return [planned for planned in found if planned.rate > 0]

    def tell_unused(self, planned: set[Target]) -> None:
        """Says which of the file's layers go lost."""
        unused = [self.ground.names.written[target] for target in self.modules if target not in planned]
        if unused:
            _tell(self.path, "are left out by the settings and will not be in the result", unused)

    def low_rank(self, planned: Planned, dropouts: Dropouts) -> LowRank | None:
        """The file's weights for a layer; None where it has none. Raises FileError for another rank.

        Where alpha differs from the file's, the weights make up for it: what the file did, it still does.
        """
        module = self.modules.get(planned.target)
        if module is None:
            return None
        found = self._fitted(planned.target, _in_float32(module), dropouts)
        assert isinstance(found, LowRank)
        if found.rank != planned.rank:
            raise FileError(
                f"has a rank of {found.rank} for `{self.ground.names.written[planned.target]}`, and "
                f"{planned.rank} is set.",
                where=str(self.path),
                todo="Tick Ranks from that File, or set its rank.",
                code="wrong-rank",
            )
        if found.alpha == planned.alpha:
            return found
        ours = LowRank(found.down.data, found.up.data, planned.alpha, found.mid, dropouts)
        ours.up.data *= found.scale / ours.scale
        return ours

    def norm(self, target: Target) -> Beside | None:
        """The file's differences of a norm; None where it has none."""
        module = self.modules.get(target)
        return None if module is None else self._fitted(target, _in_float32(module), Dropouts())

    def _planned(self, target: Target) -> Planned:
        low_rank = self._fitted(target, self.modules[target], Dropouts())
        assert isinstance(low_rank, LowRank)
        return Planned(target, low_rank.rank, low_rank.alpha, rate_of(self.ground, target))

    def _fitted(self, target: Target, module: AdapterModule, dropouts: Dropouts) -> Beside:
        return fitted(self.path, target, module, self.ground.names, self.ground.family, dropouts)


def norms_left_in(ground: Ground) -> list[Target]:
    """The norms that patterns and rates leave in."""
    return [target for target in left_in(ground, norm_layers(ground)) if rate_of(ground, target) > 0]


def _in_float32(module: AdapterModule) -> AdapterModule:
    # A clone: the optimizer changes it, and nothing else may.
    return replace(module, parts={part: tensor.float().clone() for part, tensor in module.parts.items()})


def _tell(path: Path, what: str, names: list[str]) -> None:
    shown = ", ".join(names[:NUM_SHOWN])
    log.warning("%s: %d of its modules %s, such as %s.", path.name, len(names), what, shown)
