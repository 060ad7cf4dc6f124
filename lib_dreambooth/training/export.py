"""The result as a file that hosts read."""

from __future__ import annotations

from pathlib import Path

import torch

from lib_dreambooth.formats.lora import write_adapter
from lib_dreambooth.training.setup import Prepared

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def export_lora(prepared: Prepared, path: Path, precision: str = "fp16") -> Path:
    """Writes the adapter in kohya's form with what hosts look for in the metadata."""
    network = prepared.run.network
    metadata = {
        "ss_output_name": path.stem,
        "ss_sd_model_name": prepared.model.source.name,
        "ss_base_model_version": {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}[
            prepared.model.family.name
        ],
        "ss_v2": str(prepared.model.family.name == "sd2"),
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(network.rank),
        "ss_network_alpha": str(network.alpha),
        "ss_clip_skip": str(prepared.run.model.clip_skip),
        "ss_seed": str(prepared.run.draws.seed),
    }
    attached = prepared.attached
    write_adapter(path, attached.export(), attached.names, dtype=PRECISIONS[precision], metadata=metadata)
    return path
