"""LoRA and LyCORIS files: modules with their parts in, kohya's form out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.adapter_parts import BUNDLED, KINDS, PARTS, split_key
from lib_dreambooth.formats.checkpoint_write import cast
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.detect import detect_file
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.refusals import damaged
from lib_dreambooth.formats.safetensors_write import serialize, write_safetensors

# Which part has the rank as its first size.
RANKED = ("lora_down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
# Parts that are nothing without the other.
PAIRS = (
    ("lora_up", "lora_down"),
    ("hada_w1_a", "hada_w1_b"),
    ("hada_w2_a", "hada_w2_b"),
    ("lokr_w1_a", "lokr_w1_b"),
    ("lokr_w2_a", "lokr_w2_b"),
    ("on_input", "weight"),
)
# The 64 KiB at 1 MiB that the WebUI of 2022 hashed.
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000


@dataclass(frozen=True)
class AdapterModule:
    """The tensors of one module, by part; `alpha` None means equal to the rank."""

    parts: Mapping[str, Tensor]
    alpha: float | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({KINDS[part] for part in self.parts if part in KINDS}))

    @property
    def rank(self) -> int | None:
        """None where both matrices are whole."""
        if "a1" in self.parts:
            # GLoRA has been written both ways round.
            return min(self.parts["a1"].shape)
        return next((self.parts[part].shape[0] for part in RANKED if part in self.parts), None)

    @property
    def scale(self) -> float:
        """What the product is multiplied with, as hosts do it."""
        if "scale" in self.parts:
            return float(self.parts["scale"])
        if self.alpha is None or self.rank is None:
            return 1.0
        return self.alpha / self.rank


@dataclass(frozen=True)
class AdapterFile:
    """All of a file; modules by their names in it."""

    path: Path
    kind: FileKind
    metadata: Mapping[str, str]
    modules: Mapping[str, AdapterModule]
    bundled: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)  # words: name -> key -> vectors
    unknown_keys: tuple[str, ...] = ()

    def placed(self, names: AdapterNames) -> tuple[dict[Target, AdapterModule], list[str]]:
        """The modules by the model's own, and the names for which the model has none."""
        found: dict[Target, AdapterModule] = {}
        unknown: list[str] = []
        for name, module in self.modules.items():
            target = names.target_of(name)
            if target is None:
                unknown.append(name)
            else:
                found[target] = module
        return found, unknown


def read_adapter(path: Path | str) -> AdapterFile:
    """Reads a LoRA or LyCORIS file. Raises FileError for others, for half modules and for NaN or infinity."""
    path = Path(path)
    with open_tensors(path) as file:
        kind = detect_file(file)
        if kind.role != "adapter":
            raise FileError(
                f"is {kind.title()}, and a LoRA is needed here.",
                where=str(path),
                todo="Choose a file from the Lora folder.",
                code="wrong-kind",
            )
        tensors = file.read_all()
        metadata = file.metadata
    for key, tensor in tensors.items():
        if not is_finite(tensor):
            raise FileError(
                f"holds values that are no numbers (NaN or infinity), in `{key[:80]}`.",
                where=str(path),
                todo="Train it again with a lower learning rate, or choose an earlier save.",
                code="not-finite",
            )
    grouped, bundled, unknown = _grouped(tensors)
    modules = {name: _module(path, name, parts) for name, parts in grouped.items()}
    return AdapterFile(path, kind, metadata, modules, bundled, tuple(unknown))


def write_adapter(
    path: Path | str,
    modules: Mapping[Target, AdapterModule],
    names: AdapterNames,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Writes kohya's form with its two hashes among the metadata, which it returns."""
    tensors: dict[str, Tensor] = {}
    for target, module in modules.items():
        name = names.in_file[target]
        for part, tensor in module.parts.items():
            tensors[part_key(name, part)] = tensor
        if module.alpha is not None:
            tensors[part_key(name, "alpha")] = torch.tensor(float(module.alpha))
    return write_adapter_tensors(path, tensors, dtype=dtype, metadata=metadata)


def write_adapter_tensors(
    path: Path | str,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The same for tensors that have their names already."""
    waiting = {
        key: cast(key, tensor, None if _is_alpha_lost(key, tensor, dtype) else dtype)
        for key, tensor in tensors.items()
    }
    given = {key: value for key, value in (metadata or {}).items() if not key.startswith("sshs_")}
    trained = {key: value for key, value in given.items() if key.startswith("ss_")}
    full = {**given, **hashes(serialize(waiting, trained))}
    write_safetensors(path, waiting, full)
    return full


def hashes(chunks: Iterable[memoryview]) -> dict[str, str]:
    """The two hashes that kohya's files carry: over the tensors' bytes, and over a short piece of the file.

    Only the `ss_` metadata may be in the header that they are taken over. A short file hashes what it has.
    """
    whole, legacy = hashlib.sha256(), hashlib.sha256()
    position = 0
    for index, chunk in enumerate(chunks):
        if index:
            whole.update(chunk)
        start, end = LEGACY_START - position, LEGACY_START + LEGACY_LENGTH - position
        legacy.update(chunk[max(start, 0) : max(end, 0)])
        position += len(chunk)
    return {"sshs_model_hash": whole.hexdigest(), "sshs_legacy_hash": legacy.hexdigest()[:8]}


def part_key(name: str, part: str) -> str:
    """The key of a module's part in kohya's and LyCORIS' spelling."""
    return name + next((ending for ending, known in PARTS.items() if known == part), f".{part}")


def lora_shapes(weight: Shape, rank: int) -> dict[str, Shape]:
    """Shapes of a plain LoRA's parts for a linear layer's or convolution's weight."""
    outputs, inputs, *kernel = weight
    return {
        "lora_down": (rank, inputs, *kernel),
        "lora_up": (outputs, rank, *(1 for _ in kernel)),
        "alpha": (),
    }


def _is_alpha_lost(key: str, tensor: Tensor, dtype: torch.dtype | None) -> bool:
    """Whether an alpha would be another number in this precision: what was trained with is what counts."""
    return (
        dtype is not None and key.endswith(".alpha") and not torch.equal(tensor.to(dtype).to(tensor), tensor)
    )


def _grouped(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Tensor]], list[str]]:
    modules: dict[str, dict[str, Tensor]] = {}
    bundled: dict[str, dict[str, Tensor]] = {}
    rest: list[str] = []
    for key, tensor in tensors.items():
        split = split_key(key)
        if key.startswith(BUNDLED):
            name, _, inner = key.removeprefix(BUNDLED).partition(".")
            bundled.setdefault(name, {})[inner] = tensor
        elif split is not None:
            modules.setdefault(split[0], {})[split[1]] = tensor
        else:
            rest.append(key)
    unknown: list[str] = []
    for key in rest:
        # (IA)3 keeps its vector as a plain weight.
        name = key.removesuffix(".weight")
        if key != name and "on_input" in modules.get(name, {}):
            modules[name]["weight"] = tensors[key]
        else:
            unknown.append(key)
    return modules, bundled, unknown


def _module(path: Path, name: str, parts: dict[str, Tensor]) -> AdapterModule:
    for first, second in PAIRS:
        if (first in parts) != (second in parts):
            lost = second if first in parts else first
            raise damaged(path, f"`{part_key(name, lost)[:120]}` is missing")
    for part in ("alpha", "scale"):
        if part in parts and parts[part].numel() != 1:
            raise damaged(path, f"`{part_key(name, part)[:120]}` is not one number")
    alpha = parts.pop("alpha", None)
    return AdapterModule(parts, None if alpha is None else float(alpha))
