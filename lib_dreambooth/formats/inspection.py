"""What can be told of a file without building a model from it, in words and in values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.formats.checkpoint import is_average, kind_of
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.container import TensorFile, open_tensors
from lib_dreambooth.formats.finite import nonfinite_keys
from lib_dreambooth.formats.keymap import Layout
from lib_dreambooth.formats.kinds import PART_TITLES, FileKind
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.formats.unet_layout import UNetLayout

MAX_NAMED = 5
PREDICTIONS = {"v": "velocity", "sample": "the picture"}
MAX_KEY = 80


@dataclass(frozen=True)
class Inspection:
    """A file's description; `facts` are label to text, `values` the same for programs."""

    title: str
    facts: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    problem: FileError | None = None  # for which the file cannot be used as it is
    metadata: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def inspect_file(path: Path | str, *, reads_all: bool = False) -> Inspection:
    """Reads the header, and every tensor too with `reads_all`. Raises FileError for what cannot be read."""
    path = Path(path)
    with open_tensors(path) as file:
        kind = kind_of(file)
        warnings = part_warnings(kind)
        problem = number_problem(file) if reads_all else None
        facts = {**file_facts(file, kind), **part_facts(kind)}
        values = file_values(file, kind)
        metadata = dict(file.metadata)
    if kind.role == "adapter" and problem is None:
        facts |= adapter_facts(path, metadata)
    return Inspection(kind.title(), facts, tuple(warnings), problem, metadata, values)


def file_facts(file: TensorFile, kind: FileKind) -> dict[str, str]:
    """Size, precision and what the file says of itself."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(kind.dtypes.items()))
    facts = {
        "size": f"{file.size_bytes / 1e6:,.1f} MB",
        "tensors": f"{kind.num_tensors} ({counts})",
    }
    if kind.num_extras:
        facts["other tensors"] = extras_text(kind.num_extras, sum(map(is_average, file.entries)))
    if kind.unet is not None and not kind.prediction:
        facts["predicts"] = "noise or velocity: tried out when it is read"
    elif kind.prediction:
        source = f", says the {kind.prediction_source}" if kind.prediction_source != "family" else ""
        facts["predicts"] = PREDICTIONS.get(kind.prediction, "noise") + source
    if kind.is_zero_terminal:
        facts["noise schedule"] = "ends in pure noise (zero terminal SNR)"
    if kind.has_ema:
        facts["averaged weights"] = "yes"
    return facts


def extras_text(count: int, num_averages: int) -> str:
    """What belongs to no part: averages, position ids, schedules, what a merge left behind."""
    averages = f" ({num_averages} of them averages)" if num_averages else ""
    return f"{count}{averages} belong to no part; `convert` keeps them"


def part_facts(kind: FileKind) -> dict[str, str]:
    """Each part's sizes."""
    return {
        PART_TITLES[name].removeprefix("the "): layout_text(part.layout) if part.layout else part.damage()
        for name, part in kind.parts.items()
    }


def layout_text(layout: Layout) -> str:
    """A part's sizes in a few words."""
    if isinstance(layout, ClipLayout):
        return f"{layout.num_layers} layers of {layout.width}"
    widths = "/".join(map(str, layout.widths))
    if isinstance(layout, UNetLayout):
        return f"widths {widths}, {layout.in_channels} channels in, text of {layout.context_width}"
    return f"widths {widths}, {layout.latent_channels} latent channels"


def adapter_facts(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    """Modules, ranks and what it was trained with."""
    adapter = read_adapter(path)
    ranks = sorted({module.rank for module in adapter.modules.values() if module.rank is not None})
    alphas = sorted({module.alpha for module in adapter.modules.values() if module.alpha is not None})
    text = sum(name.startswith("lora_te") for name in adapter.modules)
    facts = {"modules": f"{len(adapter.modules)}, of these {text} in text encoders"}
    if ranks:
        facts["rank"] = ", ".join(map(str, ranks[:MAX_NAMED]))
    if alphas:
        facts["alpha"] = ", ".join(f"{alpha:g}" for alpha in alphas[:MAX_NAMED])
    if adapter.bundled:
        facts["bundled words"] = ", ".join(adapter.bundled)
    for key, label in (("ss_sd_model_name", "trained on"), ("ss_output_name", "called")):
        if metadata.get(key):
            facts[label] = metadata[key]
    return facts


def part_warnings(kind: FileKind, replaced: Collection[str] = ()) -> list[str]:
    """Parts that are missing or damaged, but for those that come from another file."""
    missing = kind.missing_parts if kind.role == "checkpoint" else ()
    found = [f"{PART_TITLES[name]} is missing." for name in missing if name not in replaced]
    found += [
        f"{PART_TITLES[name]} is damaged: {kind.parts[name].damage()}."
        for name in kind.damaged_parts
        if name not in replaced
    ]
    return [text[0].upper() + text[1:] for text in found]


def number_problem(file: TensorFile) -> FileError | None:
    """What to say of tensors that hold NaN or infinity."""
    keys = [visible_line(key[:MAX_KEY]) for key in nonfinite_keys(file)]
    if not keys:
        return None
    more = f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
    return FileError(
        f"holds values that are no numbers (NaN or infinity), in {', '.join(keys[:MAX_NAMED])}{more}.",
        where=str(file.path),
        todo="Choose another file or an earlier save of it; for a VAE, choose a separate VAE file.",
        code="not-finite",
    )


def file_values(file: TensorFile, kind: FileKind) -> dict[str, Any]:
    """The description for programs."""
    return {
        "role": kind.role,
        "family": kind.family,
        "variant": kind.variant,
        "layout": kind.layout,
        "prediction": kind.prediction,
        "has_ema": kind.has_ema,
        "bytes": file.size_bytes,
        "tensors": kind.num_tensors,
        "dtypes": dict(kind.dtypes),
        "adapter_kinds": list(kind.adapter_kinds),
        "parts": sorted(kind.parts),
        "missing_parts": list(kind.missing_parts) if kind.role == "checkpoint" else [],
        "damaged_parts": list(kind.damaged_parts),
    }
