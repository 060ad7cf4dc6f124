"""What weights alone take on the device while a run takes its steps, from the base's header.

What the steps hold in between comes on top: it depends on pictures, batch and checkpointing.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib_dreambooth.adapters.planning import trained_parts
from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.formats.kinds import NEEDED, FileKind
from lib_dreambooth.jobs.disk import FLOAT_BYTES, num_of_part, num_trained, shown, state_bytes
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.optimizers.fused import in_system_memory
from lib_dreambooth.training.precision.arithmetic import Arithmetic


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of the frozen weights on the device; of what is trained with its optimizer; of the gradients."""

    frozen: int
    trained: int
    gradients: int

    @property
    def total(self) -> int:
        return self.frozen + self.trained + self.gradients

    def text(self) -> str:
        """For people."""
        own = f"frozen weights {shown(self.frozen)}, trained ones with their optimizer {shown(self.trained)}"
        return f"{own}, gradients {shown(self.gradients)}; what the steps hold in between comes on top"


def memory_need(run: Run, kind: FileKind, arithmetic: Arithmetic) -> MemoryNeed:
    """The least that the steps of a run hold on their device."""
    parts = [part for part in NEEDED[kind.family] if part in kind.parts]
    trained = trained_parts(run, parts)
    frozen = sum(
        num_of_part(kind, part) * width_of(part, arithmetic)
        for part in parts
        if stays(run, part, trained) and (is_adapter(run) or part not in trained)
    )
    count = num_trained(run, kind)
    moved = state_bytes(run, count)
    if run.ema.use and run.ema.place == "system":
        moved -= count * FLOAT_BYTES
    gradients = 0 if gives_gradients_back(run) else count * arithmetic.weights.itemsize
    return MemoryNeed(frozen, moved, gradients)


def gives_gradients_back(run: Run) -> bool:
    """Whether there is never more than one gradient on the device at a time."""
    is_fused = run.memory.fused_backward == "on" and not is_adapter(run)
    return is_fused or in_system_memory(run)


def width_of(part: str, arithmetic: Arithmetic) -> int:
    """Bytes of each number of a frozen part."""
    if part == VAE:
        return arithmetic.vae.itemsize
    return (arithmetic.frozen_unet if part == UNET else arithmetic.frozen).itemsize


def stays(run: Run, part: str, trained: tuple[str, ...]) -> bool:
    """Whether a part stands on the device during the steps."""
    if part == UNET or run.memory.unload == "off":
        return True
    if part == VAE:
        return run.memory.cache_latents == "off"
    # One text encoder in training, or a word, keeps all of them there.
    return run.parts.words.train or any(name != UNET for name in trained)
