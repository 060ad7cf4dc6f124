"""LoRA files added to a model's own weights before it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.chaining import depends_on_weight, with_weight
from lib_dreambooth.adapters.lora import fitted, placed_in
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

    The sum of all files is taken in float32 and rounded once to the weights' precision; a file whose change
    depends on the weight starts from what those before it made of it. Every file is read before any weight
    changes. Raises FileError for kinds, families and shapes that do not fit.
    """
    merged: dict[nn.Parameter, Tensor] = {}
    for merge in map(parse_merge, entries):
        file = read_adapter(merge.path)
        for parameter, change in _changes(file, roots, names, family, merged):
            before = merged.get(parameter)
            before = parameter.float() if before is None else before
            merged[parameter] = before + change.to(before.device).reshape(before.shape) * merge.weight
    for parameter, weight in merged.items():
        parameter.copy_(weight)
    return len(merged)


def _changes(
    file: AdapterFile,
    roots: Mapping[str, nn.Module],
    names: AdapterNames,
    family: str,
    merged: Mapping[nn.Parameter, Tensor],
) -> Iterable[tuple[nn.Parameter, Tensor]]:
    placed, _ = placed_in(file, names, family)
    for target, module in placed.items():
        if target.part not in roots:
            continue
        layer = roots[target.part].get_submodule(target.path)
        beside = fitted(file.path, target, module, names, family)
        before = merged.get(layer.get_parameter("weight")) if depends_on_weight(beside) else None
        seen = layer if before is None else with_weight(layer, before)
        for name, change in beside.changes(seen).items():
            yield layer.get_parameter(name), change()
