"""The parts of a run, ready for its first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.merging import merge_files
from lib_dreambooth.data.cache.latents import LatentCache
from lib_dreambooth.data.cache.stores import MemoryStore
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.feeding.batch import Assembler
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.encode import TextStyle
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.encoding import latent_encoder, text_style


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that the loop needs."""

    run: Run
    model: LoadedModel
    dataset: Dataset
    assembler: Assembler
    attached: Attached
    style: TextStyle

    @property
    def trains_text(self) -> bool:
        return any(part.part != UNET for part in self.attached.parts())


def prepare(run: Run, base: Path, device: torch.device | str = "cpu") -> Prepared:
    """Reads the model, encodes the pictures, puts a fresh adapter beside the parts that are trained."""
    model = read_model(base, device=device, dtype=torch.float32)
    names = names_of(model.source.kind)
    merge_files(run.model.merge, model.modules, names, model.family.name)
    dataset = Dataset(run, scan(run))
    latents = LatentCache(MemoryStore(), vae=model.source.sha256)
    latents.fill(dataset.wanted(dataset.plan.pairs_of_epoch(0)), latent_encoder(model), workers=1)
    assembler = Assembler(dataset, latents)
    style = text_style(run)
    attached = attach(run, model.modules, names, model.family.name, rules=model.rules)
    assert isinstance(attached, Attached), "whole weights have no file of their own yet"
    return Prepared(run, model, dataset, assembler, attached, style)
