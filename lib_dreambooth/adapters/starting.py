"""Going on from a file of the same kind: its weights in float32 where new ones would be."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lib_dreambooth.adapters.attached import Beside
from lib_dreambooth.adapters.changes import GLORA, LORA, kind_of
from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.lora import NUM_SHOWN, does_not_fit, fitted, require_family
from lib_dreambooth.adapters.low_rank import Dropouts, LowRank
from lib_dreambooth.adapters.planning import Ground, Planned, left_in, norm_layers, rate_of
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import Target
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.lora import AdapterModule, read_adapter
from lib_dreambooth.settings.schema import Network

log = logging.getLogger(__name__)


class Start:
    """A file that a network starts from."""

    def __init__(self, path: Path, ground: Ground) -> None:
        """Raises FileError for other kinds and families, and where nothing in it is for this model."""
        file = read_adapter(path)
        require_family(file.kind, path, ground.family)
        _require_kind(file.modules.values(), file.kind, path, ground.network)
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
        kinds = _kinds_of(self.ground.network)
        layers = [target for target, module in self.modules.items() if kind_of(module.parts) in kinds]
        layers = [target for target in layers if len(self.ground.shape(target)) > 1]
        kept = left_in(self.ground, [target for target in layers if target.part in self.ground.parts])
        found = [self._planned(target) for target in kept]
        return [planned for planned in found if planned.rate > 0]

    def tell_unused(self, planned: set[Target]) -> None:
        """Says which of the file's layers go lost."""
        unused = [self.ground.names.written[target] for target in self.modules if target not in planned]
        if unused:
            _tell(self.path, "are left out by the settings and will not be in the result", unused)

    def beside(self, planned: Planned, new: LowRank | Dense) -> LowRank | Dense:
        """The file's weights for a layer; `new` where it has none. Raises FileError for another rank.

        Where alpha differs from the file's, the weights make up for it: what the file did, it still does.
        """
        module = self.modules.get(planned.target)
        if module is None:
            return new
        found = self._fitted(planned.target, _in_float32(module), new.dropouts)
        if isinstance(new, Dense) and isinstance(found, Dense):
            if self.ground.network.ranks_from_file:
                return found.with_scalar() if new.has_scalar else found
            if new.take(found):
                return new
        elif isinstance(new, LowRank) and isinstance(found, LowRank) and found.rank == planned.rank:
            return _at_alpha(found, planned.alpha)
        rank = getattr(found, "rank", None)
        raise FileError(
            f"has {f'a rank of {rank}' if rank else 'other sizes'} for "
            f"`{self.ground.names.written[planned.target]}`, and {planned.rank} is set.",
            where=str(self.path),
            todo="Tick Ranks from that File, or set its rank.",
            code="wrong-rank",
        )

    def norm(self, target: Target) -> Beside | None:
        """The file's differences of a norm; None where it has none."""
        module = self.modules.get(target)
        return None if module is None else self._fitted(target, _in_float32(module), Dropouts())

    def _planned(self, target: Target) -> Planned:
        found = self._fitted(target, self.modules[target], Dropouts())
        assert isinstance(found, LowRank | Dense)
        # Kinds without a rank need none.
        rank = found.rank or self.ground.network.rank
        return Planned(target, rank, found.alpha or 0.0, rate_of(self.ground, target))

    def _fitted(self, target: Target, module: AdapterModule, dropouts: Dropouts) -> Beside:
        return fitted(self.path, target, module, self.ground.names, self.ground.family, dropouts)


def norms_left_in(ground: Ground) -> list[Target]:
    """The norms that patterns and rates leave in."""
    return [target for target in left_in(ground, norm_layers(ground)) if rate_of(ground, target) > 0]


def _kinds_of(network: Network) -> set[str]:
    """What a layer of a file may be; convolutions of GLoRA are plain."""
    return {network.kind, LORA} if network.kind == GLORA else {network.kind}


def _require_kind(modules: Iterable[AdapterModule], kind: FileKind, path: Path, network: Network) -> None:
    """Raises FileError for files of another kind than is to be trained."""
    modules = list(modules)
    is_decomposed = any("dora_scale" in module.parts for module in modules)
    if any(kind_of(module.parts) == network.kind for module in modules):
        if is_decomposed == network.decompose:
            return
        problem = f"is {'' if is_decomposed else 'not '}DoRA, and the setting says otherwise"
        todo = f"{'Tick' if is_decomposed else 'Untick'} DoRA, or choose another file."
    else:
        problem = f"is {kind.title()}, and a network of kind {network.kind} is to be trained"
        todo = "Set Network Type to the file's, or choose another file."
    raise FileError(f"{problem}.", where=str(path), todo=todo, code="unsupported-adapter")


def _at_alpha(found: LowRank, alpha: float) -> LowRank:
    if found.alpha == alpha:
        return found
    ours = LowRank(found.down.data, found.up.data, alpha, found.mid, found.dropouts)
    ours.up.data *= found.scale / ours.scale
    return ours


def _in_float32(module: AdapterModule) -> AdapterModule:
    # A clone: the optimizer changes it, and nothing else may.
    return replace(module, parts={part: tensor.float().clone() for part, tensor in module.parts.items()})


def _tell(path: Path, what: str, names: list[str]) -> None:
    shown = ", ".join(names[:NUM_SHOWN])
    log.warning("%s: %d of its modules %s, such as %s.", path.name, len(names), what, shown)
