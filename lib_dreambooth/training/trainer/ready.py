"""What a run holds between its first phase and its last."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lib_dreambooth.adapters.parts import Part, Trainable
from lib_dreambooth.data.cache.latents import LatentCache
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.feeding.batch import Assembler
from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.averages import Averages
from lib_dreambooth.training.objective.objective import Objective
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.precision.arithmetic import Arithmetic
from lib_dreambooth.training.precision.loss_scale import LossScale
from lib_dreambooth.training.processes import ALONE, Processes
from lib_dreambooth.training.trainer.base_answers import Answers
from lib_dreambooth.training.trainer.placing import Places
from lib_dreambooth.training.trainer.texts import LiveTexts, Texts


@dataclass(eq=False)
class Materials:
    """What pictures and captions are encoded with, before anything is trained; `run` has all decided."""

    run: Run
    model: LoadedModel
    device: torch.device
    places: Places
    dataset: Dataset
    length: LengthPlan
    latents: LatentCache | None
    texts: Texts

    @property
    def keeps_vae(self) -> bool:
        """Whether pictures are encoded in every step."""
        items = self.dataset.items
        return self.latents is None or not all(self.dataset.handling(item).can_cache(item) for item in items)

    def at_work(self) -> list[str]:
        """The parts of the model that the steps need."""
        needed = {UNET, VAE} if self.keeps_vae else {UNET}
        if isinstance(self.texts, LiveTexts):
            needed |= {encoder.part for encoder in self.model.encoders}
        return [part for part in self.model.modules if part in needed]


@dataclass(eq=False)
class Ready(Materials):
    """Everything that the steps need."""

    arithmetic: Arithmetic
    assembler: Assembler
    trained: Trainable
    objective: Objective
    optimizer: Optimizer
    averages: Averages | None
    scale: LossScale | None
    base_answers: Answers | None = None
    process: Processes = ALONE
    is_fused: bool = False  # weights move in the backward pass
    pieces: int = 1  # a micro-batch is taken in so many

    @property
    def parts(self) -> list[Part]:
        return self.trained.parts()

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """What the steps compute in where it is not float32."""
        return None if self.arithmetic.compute == torch.float32 else self.arithmetic.compute
