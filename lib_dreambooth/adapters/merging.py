"""LoRA files added to a model's own weights before it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.lora import fitted, placed_in
from lib_dreambooth.adapters.targets import module_at
from lib_dreambooth.formats.adapter_names import AdapterNames
from lib_dreambooth.formats.lora import AdapterFile, read_adapter


@dataclass(frozen=True)
class Merge:
    """A file and how much of it is added."""

    path: Path
    weight: float = 1.0


def parse_merge(entry: str) -> Merge:
    """FILE or FILE:WEIGHT, where a drive's colon is no weight's."""
    name, colon, weight = entry.strip().rpartition(":")
    try:
        return Merge(Path(name), float(weight)) if colon and name else Merge(Path(entry.strip()))
    except ValueError:
        return Merge(Path(entry.strip()))


@torch.no_grad()
def merge_files(
    entries: Iterable[str], roots: Mapping[str, nn.Module], names: AdapterNames, family: str
) -> int:
    """Adds the files of `model.merge` to the weights of `roots`; gives how many tensors changed.

    The sum of all files is taken in float32 and rounded once to the weights' precision. Every file is read
    before any weight changes. Raises FileError for kinds, families and shapes that do not fit.
    """
    sums: dict[nn.Parameter, Tensor] = {}
    for merge in map(parse_merge, entries):
        file = read_adapter(merge.path)
        for parameter, change in _changes(file, roots, names, family):
            change = change.to(parameter.device).reshape(parameter.shape) * merge.weight
            sums[parameter] = sums[parameter] + change if parameter in sums else change
    for parameter, change in sums.items():
        parameter.copy_(parameter.float() + change)
    return len(sums)


def _changes(
    file: AdapterFile, roots: Mapping[str, nn.Module], names: AdapterNames, family: str
) -> Iterable[tuple[nn.Parameter, Tensor]]:
    placed, _ = placed_in(file, names, family)
    for target, module in placed.items():
        if target.part not in roots:
            continue
        layer = module_at(roots[target.part], target.path)
        beside = fitted(file.path, target, module, names, family)
        for name, change in beside.changes(layer).items():
            yield layer.get_parameter(name), change()
