"""LoRA files beside a model for as long as pictures are drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.lora import attach_file
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.embedding import vectors_of
from lib_dreambooth.formats.lora import AdapterFile, read_adapter
from lib_dreambooth.models.encode import Embeddings
from lib_dreambooth.models.loaded import LoadedModel


@dataclass(frozen=True)
class LoraUse:
    """A LoRA file and its weights, as `<lora:name:text:unet>` gives them."""

    path: Path
    text: float = 1.0
    unet: float | None = None  # None: as for the text encoders

    @property
    def tag(self) -> str:
        """What a prompt in the WebUI says for the same."""
        weights = [self.text] if self.unet in (None, self.text) else [self.text, self.unet]
        numbers = ":".join(f"{weight:g}" for weight in weights if weight is not None)
        return f"<lora:{self.path.stem}:{numbers}>"


@contextlib.contextmanager
def loras_at_work(
    model: LoadedModel, uses: Sequence[LoraUse], embeddings: Embeddings
) -> Iterator[Embeddings]:
    """While open, the LoRAs act on the model. Yields the embeddings and the words that the files bring along.

    Every file is read before any acts, so a bad one changes nothing.
    """
    files = [(use, read_adapter(use.path)) for use in uses]
    with contextlib.ExitStack() as stack:
        acting: list[Attached] = []
        for use, file in files:
            attached = attach_file(
                file,
                model.modules,
                names_of(model.source.kind),
                model.family.name,
                text_strength=use.text,
                unet_strength=use.text if use.unet is None else use.unet,
                after=acting,
            )
            acting.append(attached)
            stack.callback(attached.eject)
        yield _with_bundled(embeddings, [file for _, file in files])


def _with_bundled(embeddings: Embeddings, files: Sequence[AdapterFile]) -> Embeddings:
    """A word of the user's own counts before one of the same name in a LoRA."""
    bundled = {name: vectors_of(tensors) for file in files for name, tensors in file.bundled.items()}
    return Embeddings({**bundled, **embeddings.vectors})
