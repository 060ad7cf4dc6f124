"""The same model in another form: single file or diffusers folder, another precision, averages or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.checkpoint import kind_of
from lib_dreambooth.formats.checkpoint_write import write_checkpoint
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.folder_write import write_folder
from lib_dreambooth.formats.part_sources import part_sources
from lib_dreambooth.models.tokenizer_files import folder_tokenizers

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Converted:
    """What was written, and what it holds."""

    paths: tuple[Path, ...]
    title: str


def convert(
    source: Path | str,
    target: Path | str,
    *,
    precision: str = "",
    prefer_ema: bool = False,
    keep_ema: bool = True,
) -> Converted:
    """Writes `source` as `target`: a single file where that ends in .safetensors, else a diffusers folder.

    Without `precision` every tensor stays as it is; tensors that are not known are kept.
    """
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        raise FileError("source and target are the same.", where=str(target), todo="Name another target.")
    if target.suffix.lower() in (".ckpt", ".pt", ".bin"):
        raise FileError(
            "this form can carry programs and is not written.",
            where=str(target),
            todo="Name a target that ends in .safetensors, which every host reads.",
        )
    dtype = PRECISIONS[precision] if precision else None
    with open_tensors(source) as file:
        kind = kind_of(file)
        if not kind.parts:
            raise FileError(
                f"is {kind.title()}, and only models can be converted.",
                where=str(source),
                todo="Choose a checkpoint, a diffusers folder, or a part of one, such as a VAE.",
                code="wrong-kind",
            )
        found = part_sources(file, kind, prefer_ema=prefer_ema, keep_ema=keep_ema)
        if target.suffix.lower() == ".safetensors":
            paths = write_checkpoint(
                target,
                found.parts,
                kind,
                dtype=dtype,
                extras=found.extras,
                metadata=file.metadata,
                file_shapes=found.file_shapes,
            )
        else:
            tokenizers = folder_tokenizers(kind.family) if kind.role == "checkpoint" else {}
            folder = write_folder(
                target,
                found.parts,
                kind,
                dtype=dtype,
                extras=found.extras,
                metadata=file.metadata,
                more_files=tokenizers,
            )
            paths = [folder]
    return Converted(tuple(paths), kind.title())
