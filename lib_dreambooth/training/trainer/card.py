"""What a run has on the card, taken away from it for a pause and brought back."""

from __future__ import annotations

import torch

from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.training.trainer.mishaps import give_memory_back
from lib_dreambooth.training.trainer.ready import Ready


class Card:
    """Moves all of a run, wherever it is interrupted: each part of the model comes back to where it was."""

    def __init__(self, model: LoadedModel, device: torch.device) -> None:
        self.model = model
        self.device = device
        self.ready: Ready | None = None
        self._places: dict[str, torch.device] = {}

    @torch.inference_mode(False)
    def leave(self) -> None:
        """Everything to system memory; a host may ask for it in a thread where nothing can learn."""
        self._places = {part: self.model.device_of(part) for part in self.model.modules}
        for part in self._places:
            self.model.to(part, "cpu")
        self._move_trained(torch.device("cpu"))
        give_memory_back()

    @torch.inference_mode(False)
    def take(self) -> None:
        """Everything back to where it was."""
        for part, place in self._places.items():
            self.model.to(part, place)
        self._move_trained(self.device)

    def _move_trained(self, device: torch.device) -> None:
        if self.ready is None:
            return
        for part in self.ready.parts:
            part.parameter.data = part.parameter.data.to(device)
        self.ready.optimizer.to(device)
        if self.ready.averages is not None:
            self.ready.averages.to(device)
