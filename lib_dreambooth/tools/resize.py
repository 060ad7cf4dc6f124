"""A LoRA made smaller: in each layer the best change of fewer ranks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.adapters.changes import LORA, kind_of, low_rank_product
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.formats.adapter_parts import BUNDLED
from lib_dreambooth.formats.lora import (
    AdapterFile,
    AdapterModule,
    part_key,
    read_adapter,
    write_adapter_tensors,
)
from lib_dreambooth.tools.convert import PRECISIONS
from lib_dreambooth.tools.merge import Telling
from lib_dreambooth.tools.names import kohya_name
from lib_dreambooth.tools.spectrum import FROBENIUS, RATIO, SHARES, Spectrum, of_matrix, of_product, rank_for
from lib_dreambooth.tools.targets import require_new

# What kohya's scripts write where layers differ.
DIFFERENT = "Dynamic"


@dataclass(frozen=True)
class Size:
    """How small: at most `rank` (0: no limit; `conv_rank` for convolutions, 0: the same).

    With a `share` each layer gets as few ranks as keep it.
    `of` says of what it is a share: "frobenius" (the length of the change), "sum" (its singular values), or
    "ratio" (keeps values no smaller than the largest divided by it).
    """

    rank: int = 0
    conv_rank: int = 0
    share: float = 0.0
    of: str = FROBENIUS

    def check(self) -> None:
        """Raises UserError for sizes that mean nothing."""
        if self.of not in SHARES:
            raise UserError(
                f"{self.of!r} is no share.", where="of", todo=f"Choose one of: {', '.join(SHARES)}."
            )
        if self.rank < 0 or self.conv_rank < 0 or not (self.rank or self.share):
            raise UserError("is too small.", where="rank", todo="Choose 1 or more, or a share to keep.")
        is_good = self.share >= 1 if self.of == RATIO else self.share <= 1
        if self.share and (self.share < 0 or not is_good):
            todo = "Choose 1 or more, such as 10." if self.of == RATIO else "Choose a share such as 0.95."
            raise UserError(f"{self.share:g} is not possible.", where="share", todo=todo)

    def limit(self, *, is_conv: bool) -> int:
        """The largest rank, 0 for none."""
        return self.conv_rank or self.rank if is_conv else self.rank


@dataclass(frozen=True)
class Resized:
    """What was written. `lost` is the mean share of each layer's length that went; kept are other kinds."""

    path: Path
    ranks: Mapping[int, int]  # rank -> layers
    lost: float
    num_bytes: int
    num_kept: int

    @property
    def ranks_text(self) -> str:
        """For people: "8", or "2 to 16"."""
        low, high = min(self.ranks), max(self.ranks)
        return str(low) if low == high else f"{low} to {high}"


def resize(
    source: Path | str,
    target: Path | str,
    size: Size,
    *,
    precision: str = "",
    replaces: bool = False,
    tell: Telling = lambda done, total: None,
) -> Resized:
    """Writes `source` with fewer ranks; its metadata goes along. Layers of other kinds stay as they are.

    Raises FileError for files without plain LoRA, and for DoRA, whose lengths belong to the whole change.
    """
    source, target = Path(source), Path(target)
    size.check()
    require_new(target, [source], replaces=replaces)
    file = read_adapter(source)
    require_plain(file)
    tensors: dict[str, Tensor] = {}
    ranks: Counter[int] = Counter()
    losses: list[float] = []
    alphas: set[float] = set()
    for number, (name, module) in enumerate(file.modules.items(), 1):
        if is_plain(module):
            module, lost = smaller(module, size)
            ranks[module.rank or 0] += 1
            losses.append(lost)
            alphas.add(module.alpha or 0.0)
        tensors.update(named(kohya_name(name, file.kind.family), module))
        tell(number, len(file.modules))
    for word, parts in file.bundled.items():
        tensors.update({f"{BUNDLED}{word}.{key}": tensor for key, tensor in parts.items()})
    metadata = metadata_of(file.metadata, ranks, alphas)
    write_adapter_tensors(
        target, tensors, dtype=PRECISIONS[precision] if precision else None, metadata=metadata
    )
    num_kept = len(file.modules) - sum(ranks.values())
    return Resized(target, dict(ranks), sum(losses) / len(losses), target.stat().st_size, num_kept)


def is_plain(module: AdapterModule) -> bool:
    """Whether it is LoRA and nothing else."""
    return kind_of(module.parts) == LORA and "dora_scale" not in module.parts


def require_plain(file: AdapterFile) -> None:
    """Raises FileError where there is nothing that ranks could be taken from."""
    is_decomposed = any("dora_scale" in module.parts for module in file.modules.values())
    if is_decomposed or not any(map(is_plain, file.modules.values())):
        told = "DoRA" if is_decomposed else file.kind.title()
        raise FileError(
            f"is {told}, whose rank cannot be made smaller.",
            where=str(file.path),
            todo="Choose a plain LoRA or LoCon.",
            code="unsupported-adapter",
        )


@torch.no_grad()
def smaller(module: AdapterModule, size: Size) -> tuple[AdapterModule, float]:
    """A layer with fewer ranks, its scale as before, and which share of its length is gone."""
    down = module.parts["lora_down"]
    own = down.shape[0]
    spectrum, shapes = spectrum_of(module)
    is_conv = any(side > 1 for side in shapes[0][2:])
    # No rank below would be kept whole: a product has no more than its own, whatever its matrix could have.
    most = min(own, len(spectrum.values)) if "lora_mid" not in module.parts else len(spectrum.values)
    rank = min(size.limit(is_conv=is_conv) or most, most)
    if size.share:
        rank = min(rank, rank_for(spectrum.values, size.share, size.of))
    up, lowered = spectrum.cut(rank)
    parts = {
        "lora_down": lowered.reshape(rank, *shapes[0][1:]).to(down.dtype).contiguous(),
        "lora_up": up.reshape(shapes[1][0], rank, *shapes[1][2:]).to(down.dtype).contiguous(),
    }
    return AdapterModule(parts, module.scale * rank), spectrum.lost(rank)


def spectrum_of(module: AdapterModule) -> tuple[Spectrum, tuple[torch.Size, torch.Size]]:
    """The change of a layer before its scale, and the shapes of a plain LoRA's two parts for it."""
    down, up, mid = (module.parts.get(part) for part in ("lora_down", "lora_up", "lora_mid"))
    assert down is not None and up is not None, "a LoRA has both"
    if mid is None:
        return of_product(up.flatten(1), down.flatten(1)), (down.shape, up.shape)
    whole = low_rank_product(up.float(), down.float(), mid.float())
    return of_matrix(whole.flatten(1)), (whole.shape, torch.Size((whole.shape[0], 1, 1, 1)))


def named(name: str, module: AdapterModule) -> dict[str, Tensor]:
    """A module's tensors by their keys in a file."""
    found = {part_key(name, part): tensor for part, tensor in module.parts.items()}
    if module.alpha is not None:
        found[part_key(name, "alpha")] = torch.tensor(float(module.alpha))
    return found


def metadata_of(given: Mapping[str, str], ranks: Mapping[int, int], alphas: set[float]) -> dict[str, str]:
    """The file's metadata with its new ranks."""
    rank = str(next(iter(ranks))) if len(ranks) == 1 else DIFFERENT
    alpha = f"{next(iter(alphas)):g}" if len(alphas) == 1 else DIFFERENT
    comment = "; ".join(
        part for part in (given.get("ss_training_comment", ""), f"resized to rank {rank}") if part
    )
    found = {**given, "ss_network_dim": rank, "ss_network_alpha": alpha, "ss_training_comment": comment}
    try:
        arguments = json.loads(given.get("ss_network_args", ""))
    except ValueError:
        return found
    if isinstance(arguments, dict) and "conv_dim" in arguments:
        found["ss_network_args"] = json.dumps({**arguments, "conv_dim": rank, "conv_alpha": alpha})
    return found
