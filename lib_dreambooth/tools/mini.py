"""Puts the miniature into a WebUI's folders, so that it can be chosen there like any checkpoint.

The WebUI builds a model from the YAML beside its file. For sizes of its own that YAML names a folder with the
tokenizer and the text encoder's sizes, and only an absolute path is found there: hence a command, not a copy.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.checkpoint import kind_of, require_checkpoint, require_numbers, require_part
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.host_yaml import host_yaml, yaml_path
from lib_dreambooth.formats.keymap import TEXT
from lib_dreambooth.formats.kinds import NEEDED, FileKind, activation_of
from lib_dreambooth.models.tokenizer_files import tokenizer_files

MODEL_NAME = "dreambooth-mini"


@dataclass(frozen=True)
class Installed:
    """What was written."""

    checkpoint: Path
    config: Path
    text_dir: Path


def put_into_webui(webui_dir: Path | str, source: Path = MINI_CHECKPOINT) -> Installed:
    """Copies the checkpoint, writes its YAML and the folder that the YAML names."""
    models_dir = find_models_dir(Path(webui_dir))
    checkpoint = models_dir / "Stable-diffusion" / f"{MODEL_NAME}.safetensors"
    text_dir = models_dir / "dreambooth" / "mini-text-encoder"
    kind = whole_miniature(source)
    config = yaml_path(checkpoint)
    # The copy first, where a full disk or a place that may not be written to stops it before anything else is
    # there; under its name last, so that the WebUI never sees it without its YAML.
    with files.replacing(checkpoint) as temporary:
        shutil.copyfile(source, temporary)
        write_text_dir(text_dir, kind)
        files.write_text(config, host_yaml(kind, clip_folder=text_dir.resolve().as_posix()))
    return Installed(checkpoint, config, text_dir)


def whole_miniature(source: Path) -> FileKind:
    """What the miniature's file is; raises FileError where it is not whole or something else."""
    with open_tensors(source) as file:
        kind = kind_of(file)
        require_checkpoint(kind, source, "sd1")
        for part in NEEDED[kind.family]:
            require_part(kind, part, source)
        require_numbers(file, kind, NEEDED[kind.family])
    return kind


def find_models_dir(folder: Path) -> Path:
    """The models folder of a WebUI given by its own folder, its data folder or the models folder itself."""
    # A path that is too long is no WebUI's either; Python 3.10 to 3.13 say so by an error.
    with contextlib.suppress(OSError):
        for candidate in (folder, folder / "models"):
            if (candidate / "Stable-diffusion").is_dir():
                return candidate
    raise FileError(
        "this is not a WebUI: there is no models/Stable-diffusion in it.",
        where=str(folder),
        todo="Name the folder that holds webui.py, or the one given to --data-dir.",
        code="not-a-webui",
    )


def write_text_dir(folder: Path, kind: FileKind) -> None:
    """The tokenizer and the sizes of the text encoder in the form that transformers reads offline."""
    for name, content in tokenizer_files().items():
        files.write_bytes(folder / name, content)
    layout = kind.text_encoder()
    assert layout is not None, "the miniature has a text encoder"
    sizes = layout.hf_config(activation_of(kind.family, TEXT))
    files.write_json(folder / "config.json", {"model_type": "clip_text_model", **sizes})
