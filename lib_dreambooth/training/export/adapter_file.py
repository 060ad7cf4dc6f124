"""One LoRA file: tensors under kohya's keys, checked, and the hashes that hosts trust."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.adapter_parts import BUNDLED
from lib_dreambooth.formats.checkpoint_write import Source, cast
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.formats.lora import AdapterModule, hashes, part_key
from lib_dreambooth.formats.safetensors_write import serialize, write_safetensors
from lib_dreambooth.training.export.metadata import spec_hash
from lib_dreambooth.training.export.states import require_finite

Words = Mapping[str, Mapping[str, Tensor]]
# What the WebUI calls the vectors of a bundled word.
ONE_ENCODER = "string_to_param.*"
TWO_ENCODERS = {TEXT: "clip_l", TEXT_2: "clip_g"}


def adapter_tensors(
    modules: Mapping[Target, AdapterModule], names: AdapterNames, words: Words
) -> dict[str, Tensor]:
    """Every tensor by its key, on the CPU; raises FileError for NaN and infinity."""
    found: dict[str, Tensor] = {}
    for target, module in modules.items():
        name = names.in_file[target]
        found |= {part_key(name, part): tensor for part, tensor in module.parts.items()}
        if module.alpha is not None:
            found[part_key(name, "alpha")] = torch.tensor(float(module.alpha))
    for word, vectors in words.items():
        found |= {f"{BUNDLED}{word}.{key}": tensor for key, tensor in word_tensors(vectors).items()}
    return {key: require_finite(key, tensor.detach().cpu()) for key, tensor in found.items()}


def word_tensors(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A bundled word's vectors by what the WebUI calls them."""
    if TEXT_2 not in vectors:
        return {ONE_ENCODER: vectors[TEXT]}
    return {TWO_ENCODERS[part]: tensor for part, tensor in vectors.items()}


def write_adapter_file(
    path: Path, tensors: Mapping[str, Source], dtype: torch.dtype | None, metadata: Mapping[str, str]
) -> None:
    """Writes the file; where its metadata says more than its family, the hashes stand there too."""
    waiting = {key: cast(key, tensor, dtype) for key, tensor in tensors.items()}
    full = dict(metadata)
    if "ss_output_name" in metadata:
        # kohya hashes the file as it would be with its own keys alone.
        found = hashes(serialize(waiting, {key: metadata[key] for key in metadata if key.startswith("ss_")}))
        full |= found
        if any(key.startswith("modelspec.") for key in metadata):
            full |= spec_hash(found["sshs_model_hash"])
    write_safetensors(path, waiting, full)
