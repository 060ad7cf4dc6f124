"""What the tests of results share: a small adapter, facts of a run, an exporter into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lib_dreambooth import settings
from lib_dreambooth.formats.adapter_names import AdapterNames, Target, adapter_names
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.formats.lora import AdapterModule, lora_shapes
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Directory, Hashed, Session
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.places import Folders
from tests.models.tiny import CLIP, SD1

NAMES: AdapterNames = adapter_names("sd1", SD1, {TEXT: CLIP})
TARGETS = (
    Target(UNET, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"),
    Target(UNET, "mid_block.attentions.0.proj_in"),
    Target(UNET, "down_blocks.0.resnets.0.conv1"),
    Target(TEXT, "text_model.encoder.layers.0.self_attn.q_proj"),
)
BASE = BaseFacts("sd1", "epsilon", 512, Hashed("base.safetensors", "ab" * 32, "12345678"))
SESSION = Session(
    4711,
    1_700_000_000.5,
    total_steps=1200,
    num_epochs=12,
    optimizer="torch.optim.adamw.AdamW",
    gradient_checkpointing=True,
    mixed_precision="bf16",
)
DATA = DataFacts(
    directories={
        "10_mika": Directory(10, 3, False, {"mika": 3, "smile": 2, "red hat": 1}),
        "girls": Directory(1, 5, True, {"girl": 5}),
    },
    buckets={(512, 512): 20, (384, 640): 10},
    mean_shape_error=0.125,
    num_train_images=30,
    num_class_images=5,
    num_validation_images=2,
    batches_per_epoch=15,
    processes=2,
)
NOW = 1_700_000_600.0
# The smallest PNG there is: one white pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63f80f00010101"
    "001bb6ee560000000049454e44ae426082"
)


def run_of(changes: Mapping[str, Any] | None = None) -> Run:
    """A run with everything decided."""
    values: dict[str, Any] = {
        "model": {"base": r"C:\models\base.safetensors"},
        "concepts": [{"folder": r"C:\sets\10_mika", "token": "mika", "class_token": "girl"}],
        "pictures": {"resolution": "512"},
        "network": {"rank": 4, "alpha": 2.0},
        "draws": {"seed": 42},
        "metadata": {"name": "mika"},
    }
    return settings.replace(settings.read(values).run, changes or {})


def adapter(seed: int = 1) -> dict[Target, AdapterModule]:
    """Random parts for a linear layer, both kinds of convolution, and a text encoder's layer."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for target in TARGETS:
        shapes = lora_shapes(NAMES.shapes[target], 4)
        parts = {
            part: torch.randn(shapes[part], generator=generator) / 3 for part in ("lora_down", "lora_up")
        }
        found[target] = AdapterModule(parts, 2.0)
    return found


def folders(root: Path) -> Folders:
    return Folders(root / "Lora", root / "Stable-diffusion", root / "diffusers", root / "embeddings")


def exporter(root: Path, changes: Mapping[str, Any] | None = None, **more: Any) -> Exporter:
    """An exporter for this run into a host's folders below `root`."""
    given: dict[str, Any] = {"name": "folder name", "data": DATA, "clock": lambda: NOW, **more}
    base = given.pop("base", BASE)
    return Exporter(run_of(changes), base, folders(root), SESSION, **given)


def write(out: Exporter, step: int = 100, **more: Any) -> Any:
    """One LoRA file."""
    return out.write_adapter(adapter(step), NAMES, step=step, epoch=step // 100, **more)
