"""A LoRA out of what two checkpoints differ in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.adapters.targets import attention_targets, convolution_targets, is_pointwise
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import AdapterNames, Target, names_of
from lib_dreambooth.formats.checkpoint import kind_of, require_checkpoint
from lib_dreambooth.formats.checkpoint_write import Source, loaded
from lib_dreambooth.formats.container import TensorFile, open_tensors
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.formats.kinds import FAMILIES, FileKind
from lib_dreambooth.formats.lora import AdapterModule, write_adapter
from lib_dreambooth.formats.part_sources import part_sources
from lib_dreambooth.tools.convert import PRECISIONS
from lib_dreambooth.tools.merge import Telling
from lib_dreambooth.tools.resize import DIFFERENT, Size
from lib_dreambooth.tools.spectrum import Spectrum, leading, of_matrix, rank_for
from lib_dreambooth.tools.targets import require_new

# A change smaller than this, per value, is a conversion's rounding and no training.
LEAST_CHANGE = 1e-6


@dataclass(frozen=True)
class Extracted:
    """What was written. `num_same` layers do not differ; `lost` is the mean share of a change that went."""

    path: Path
    ranks: Mapping[int, int]  # rank -> layers
    num_same: int
    lost: float


def extract(
    base: Path | str,
    tuned: Path | str,
    target: Path | str,
    size: Size,
    *,
    precision: str = "fp16",
    replaces: bool = False,
    tell: Telling = lambda done, total: None,
) -> Extracted:
    """Writes what `tuned` does beyond `base` as a LoRA: its attention layers, and with `conv_rank` all that a
    LoCon has. One layer of each checkpoint is in memory at a time. Raises FileError where they do not fit.
    """
    base, tuned, target = Path(base), Path(tuned), Path(target)
    size.check()
    require_new(target, [base, tuned], replaces=replaces)
    with open_tensors(base) as first, open_tensors(tuned) as second:
        kind = kind_of(first)
        require_checkpoint(kind, base)
        require_checkpoint(kind_of(second), tuned, kind.family)
        names = names_of(kind)
        ours, theirs = weights_of(first, kind), weights_of(second, kind_of(second))
        wanted = [one for one in layers_of(names, size) if one in ours and one in theirs]
        modules: dict[Target, AdapterModule] = {}
        losses: list[float] = []
        for number, layer in enumerate(wanted, 1):
            found = module_of(difference(ours[layer], theirs[layer], tuned, layer), size)
            if found is not None:
                modules[layer], lost = found
                losses.append(lost)
            tell(number, len(wanted))
    if not modules:
        raise FileError(
            "does not differ in any layer that a LoRA has.", where=str(tuned), todo="Choose another file."
        )
    ranks = Counter(module.rank or 0 for module in modules.values())
    write_adapter(
        target,
        modules,
        names,
        dtype=PRECISIONS[precision] if precision else None,
        metadata=metadata_of(base, tuned, ranks),
    )
    return Extracted(target, dict(ranks), len(wanted) - len(modules), sum(losses) / len(losses))


def weights_of(file: TensorFile, kind: FileKind) -> dict[Target, Source]:
    """Every weight of a checkpoint by its module, none of them read yet."""
    found: dict[Target, Source] = {}
    for part, tensors in part_sources(file, kind).parts.items():
        for name, source in tensors.items():
            path, _, parameter = name.rpartition(".")
            if part != VAE and parameter == "weight":
                found[Target(part, path)] = source
    return found


def layers_of(names: AdapterNames, size: Size) -> list[Target]:
    """What a LoRA, or with a rank for convolutions a LoCon, stands beside."""
    return [*attention_targets(names), *(convolution_targets(names) if size.conv_rank else ())]


def difference(ours: Source, theirs: Source, path: Path, layer: Target) -> Tensor:
    """What a layer does more than the base's; raises FileError for other sizes and for NaN."""
    if tuple(ours.shape) != tuple(theirs.shape):
        raise FileError(
            f"`{layer.part}.{layer.path}` has another size than the base's.",
            where=str(path),
            todo=f"Choose two checkpoints of one model, such as {FAMILIES['sd1']}.",
            code="wrong-family",
        )
    found = loaded(theirs).float() - loaded(ours).float()
    if not is_finite(found):
        raise FileError(
            f"`{layer.part}.{layer.path}` holds values that are no numbers (NaN or infinity).",
            where=str(path),
            todo="Choose another checkpoint.",
            code="not-finite",
        )
    return found


@torch.no_grad()
def module_of(change: Tensor, size: Size) -> tuple[AdapterModule, float] | None:
    """The best network of the size for a change, and what of it is lost; None for no change."""
    if float(change.abs().max()) < LEAST_CHANGE:
        return None
    matrix = change.flatten(1)
    is_conv = not is_pointwise(tuple(change.shape))
    limit = min(size.limit(is_conv=is_conv) or min(matrix.shape), *matrix.shape)
    # A share is of all that is there, so all has to be known.
    spectrum: Spectrum = of_matrix(matrix) if size.share else leading(matrix, limit)
    rank = min(limit, rank_for(spectrum.values, size.share, size.of)) if size.share else limit
    up, down = spectrum.cut(rank)
    outputs, _, *kernel = change.shape
    parts = {
        "lora_down": down.reshape(rank, *change.shape[1:]).float().contiguous(),
        "lora_up": up.reshape(outputs, rank, *(1 for _ in kernel)).float().contiguous(),
    }
    kept = float(spectrum.values[:rank].norm()) / float(matrix.norm())
    return AdapterModule(parts, float(rank)), max(0.0, 1.0 - kept)


def metadata_of(base: Path, tuned: Path, ranks: Mapping[int, int]) -> dict[str, str]:
    """What kohya's files say of themselves."""
    rank = str(next(iter(ranks))) if len(ranks) == 1 else DIFFERENT
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": rank,
        "ss_network_alpha": rank,
        "ss_sd_model_name": base.name,
        "ss_training_comment": f"extracted from {tuned.name}",
    }
