"""The same model in another form: single file or diffusers folder, another precision, averages or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.checkpoint import kind_of, read_vae, require_numbers
from lib_dreambooth.formats.checkpoint_write import write_checkpoint
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.folder_write import write_folder
from lib_dreambooth.formats.inspection import part_warnings
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.part_sources import Sources, part_sources
from lib_dreambooth.models.tokenizer_files import folder_tokenizers

OTHER_ENDINGS = (".safetensor", ".sft", ".gguf", ".onnx", ".txt", ".json", ".yaml", ".zip", ".png")
PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Converted:
    """What was written, and what it holds."""

    paths: tuple[Path, ...]
    title: str
    warnings: tuple[str, ...] = ()  # parts that the source lacks, and so the target too


def check_target(target: Path) -> None:
    """Refuses names that promise another kind of file than what would be written."""
    ending = target.suffix.lower()
    if ending in (".ckpt", ".pt", ".pth", ".bin"):
        raise FileError(
            "this form can carry programs and is not written.",
            where=str(target),
            todo="Name a target that ends in .safetensors, which every host reads.",
        )
    if ending in OTHER_ENDINGS:
        raise FileError(
            f"is neither a .safetensors file nor a folder's name: nothing of the kind {ending} is written.",
            where=str(target),
            todo="Name a target that ends in .safetensors, or a new folder.",
        )


def other_vae(found: Sources, kind: FileKind, vae_path: Path | str) -> None:
    """Puts another file's VAE in the place of the model's own, whatever state that one is in."""
    if VAE in kind.parts:
        prefix = kind.parts[VAE].place.prefix
        found.extras = {key: source for key, source in found.extras.items() if not key.startswith(prefix)}
    found.parts[VAE] = dict(read_vae(vae_path))


def convert(
    source: Path | str,
    target: Path | str,
    *,
    precision: str = "",
    prefer_ema: bool = False,
    keep_ema: bool = True,
    vae_path: Path | str | None = None,
) -> Converted:
    """Writes `source` as `target`: a single file where that ends in .safetensors, else a diffusers folder.

    Without `precision` every tensor stays as it is; tensors that are not known are kept. `vae_path` takes the
    VAE from another file. Raises FileError before anything is written where a part holds NaN or infinity.
    """
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        raise FileError("source and target are the same.", where=str(target), todo="Name another target.")
    check_target(target)
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
        kept = [part for part in found.parts if part != VAE or vae_path is None]
        require_numbers(file, kind, kept, is_ema=prefer_ema and kind.has_ema)
        if vae_path is not None:
            other_vae(found, kind, vae_path)
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
    warnings = part_warnings(kind, () if vae_path is None else (VAE,))
    return Converted(tuple(paths), kind.title(), tuple(warnings))
