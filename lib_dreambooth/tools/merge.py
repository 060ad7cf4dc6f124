"""LoRA files of any kind added to a checkpoint's own weights, as a new checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.attached import Beside
from lib_dreambooth.adapters.lora import does_not_fit, fitted, placed_in
from lib_dreambooth.adapters.merging import Merge
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.formats.adapter_names import AdapterNames, names_of
from lib_dreambooth.formats.checkpoint import kind_of, require_checkpoint, require_numbers
from lib_dreambooth.formats.checkpoint_write import Source, loaded, write_checkpoint
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.formats.part_sources import part_sources
from lib_dreambooth.formats.safetensors_write import Pending
from lib_dreambooth.tools.convert import PRECISIONS
from lib_dreambooth.tools.targets import require_new

# Done, total.
Telling = Callable[[int, int], None]
# Of the base alone: no longer true of a merge.
STALE = ("modelspec.hash_sha256", "modelspec.thumbnail", "sshs_model_hash", "sshs_legacy_hash")
RECIPE = "sd_merge_recipe"


@dataclass(frozen=True)
class Merged:
    """What was written, and how many tensors of the base changed."""

    paths: tuple[Path, ...]
    num_changed: int
    warnings: tuple[str, ...] = ()


@dataclass
class Plan:
    """What is added to each tensor of the base: networks with their strengths, by part and name."""

    added: dict[tuple[str, str], list[tuple[Beside, str, float]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Layer(nn.Module):
    """As much of a layer as a network has to know: its weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)


def merge(
    base: Path | str,
    files: Sequence[Merge],
    target: Path | str,
    *,
    precision: str = "",
    replaces: bool = False,
    tell: Telling = lambda done, total: None,
) -> Merged:
    """Writes a single checkpoint: `base` with the files at their weights.

    All changes are summed in float32 and rounded once; one that depends on the weight starts from what those
    before it made of it. So the result
    draws as the base does with all of them in the prompt. One tensor of the base is in memory at a time.
    Raises FileError before anything is written for kinds, families and sizes that do not fit.
    """
    base, target = Path(base), Path(target)
    require_new(target, [base, *(one.path for one in files)], replaces=replaces)
    if not files:
        raise UserError("there is nothing to merge.", where="files", todo="Name one LoRA or more.")
    dtype = PRECISIONS[precision] if precision else None
    with open_tensors(base) as file:
        kind = kind_of(file)
        require_checkpoint(kind, base)
        names = names_of(kind)
        plan = planned(files, names, kind.family, kind.parts)
        # Averages are of the base: who draws with them would not see the change.
        found = part_sources(file, kind, keep_ema=False)
        require_numbers(file, kind, found.parts)
        if kind.has_ema:
            plan.warnings.append("The base's averaged weights were left out.")
        counted = counting(len(plan.added), tell)
        for (part, name), changes in plan.added.items():
            source = found.parts[part].get(name)
            if source is None:
                raise does_not_fit(files[0].path, f"the model has no `{part}.{name}`", kind.family)
            found.parts[part][name] = changed(source, name, changes, dtype, counted)
        paths = write_checkpoint(
            target,
            found.parts,
            kind,
            dtype=dtype,
            extras=found.extras,
            metadata=metadata_of(file.metadata, base, files, target),
            file_shapes=found.file_shapes,
        )
    return Merged(tuple(paths), len(plan.added), tuple(plan.warnings))


def planned(files: Sequence[Merge], names: AdapterNames, family: str, parts: Mapping[str, object]) -> Plan:
    """Reads all files and puts their networks to the tensors that they change; raises FileError."""
    plan = Plan()
    for one in files:
        file = read_adapter(one.path)
        placed, unknown = placed_in(file, names, family)
        if unknown:
            plan.warnings.append(f"{one.path.name}: {len(unknown)} modules are not in this model.")
        if file.bundled:
            words = ", ".join(sorted(file.bundled))
            plan.warnings.append(
                f"{one.path.name}: a checkpoint cannot hold words; keep their files ({words})."
            )
        for target, module in placed.items():
            beside = fitted(one.path, target, module, names, family)
            for name in changed_names(beside, names.shapes[target]):
                key = (target.part, f"{target.path}.{name}")
                plan.added.setdefault(key, []).append((beside, name, one.weight))
    return plan


def changed_names(beside: Beside, shape: tuple[int, ...]) -> list[str]:
    """Which tensors of a layer a network changes."""
    return list(beside.changes(Layer(torch.empty(shape, device="meta"))))


def changed(
    source: Source,
    name: str,
    changes: Sequence[tuple[Beside, str, float]],
    dtype: torch.dtype | None,
    counted: Callable[[], None],
) -> Pending:
    """The source with its changes, made when its turn to be written comes."""
    target = dtype or source.dtype

    def load() -> Tensor:
        result = changed_tensor(loaded(source).float(), changes).to(target)
        if not is_finite(result):
            raise FileError(
                f"holds values that are too large for {str(target).removeprefix('torch.')} after the merge.",
                where=f"`{name[:80]}`",
                todo="Choose smaller weights, or write bf16 or fp32.",
                code="not-finite",
            )
        counted()
        return result

    return Pending(target, tuple(source.shape), load)


@torch.no_grad()
def changed_tensor(tensor: Tensor, changes: Sequence[tuple[Beside, str, float]]) -> Tensor:
    """A float32 tensor of the base with all that is added to it, one after the other as WebUIs do."""
    result = tensor
    for beside, name, weight in changes:
        result = result + weight * beside.changes(Layer(result))[name]().float().reshape(tensor.shape)
    return result


def counting(total: int, tell: Telling) -> Callable[[], None]:
    """Says after each tensor how many are done."""
    counts: Iterator[int] = iter(range(1, total + 1))
    return lambda: tell(next(counts, total), total)


def metadata_of(given: Mapping[str, str], base: Path, files: Sequence[Merge], target: Path) -> dict[str, str]:
    """The base's metadata, with what the merge is made of."""
    kept = {key: value for key, value in given.items() if key not in STALE}
    recipe = {
        "type": "sd-webui-dreambooth",
        "base": base.name,
        "loras": [{"name": one.path.stem, "weight": one.weight} for one in files],
    }
    kept[RECIPE] = json.dumps(recipe, ensure_ascii=False)
    kept["modelspec.merged_from"] = ", ".join([base.stem, *(one.path.stem for one in files)])
    if "modelspec.title" in kept:
        kept["modelspec.title"] = target.stem
    return kept
