"""Diffusers folders: the parts' files seen as one, with keys such as `unet/conv_in.weight`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.refusals import damaged, unreadable

# The parts that are read; a safety checker or feature extractor is not.
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
# What belongs to no part of a diffusers model and is kept when a single file becomes a folder.
EXTRAS_NAME = "extras.safetensors"
EXTRAS_PREFIX = "extras/"

STATE_FILES = ("tensors.safetensors", "state.json")
STATE_MARK = "training-state"

# Names of a part's weights, best first. `.fp16` and `.non_ema` variants are taken when nothing else is there.
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
SUFFIXES = (".safetensors", ".bin")
VARIANTS = ("", ".fp16", ".bf16", ".non_ema")
MAX_JSON_BYTES = 50_000_000


def is_folder_of_parts(folder: Path) -> bool:
    """Whether it is a whole diffusers model."""
    return (folder / "model_index.json").is_file() or any((folder / part).is_dir() for part in PARTS)


def is_state(folder: Path) -> bool:
    """Whether it is a saved state of a training."""
    return all((folder / name).is_file() for name in STATE_FILES)


def weight_files(folder: Path) -> list[tuple[str, Path]]:
    """Each file of weights with the prefix of its keys; a folder of one part has no prefix."""
    if is_state(folder):
        return [("", folder / STATE_FILES[0])]
    if not is_folder_of_parts(folder):
        files = [("", path) for path in _files_of(folder)]
        if not files:
            raise FileError(
                "this folder holds no model in the diffusers form (no model_index.json and no weights).",
                where=str(folder),
                todo="Choose a .safetensors or .ckpt file, or the folder above unet/ and vae/.",
                code="not-a-model",
            )
        return files
    files = [(f"{part}/", path) for part in PARTS for path in _files_of(folder / part)]
    if not files:
        raise FileError(
            "this diffusers folder has no weights in unet/, vae/ or text_encoder/.",
            where=str(folder),
            todo="Download the missing files.",
            code="missing-part",
        )
    extras = folder / EXTRAS_NAME
    return [*files, (EXTRAS_PREFIX, extras)] if extras.is_file() else files


def folder_metadata(folder: Path) -> dict[str, str]:
    """What the folder's JSON files say that no tensor does."""
    if is_state(folder):
        return {STATE_MARK: folder.name}
    found: dict[str, str] = {}
    scheduler = _json(folder / "scheduler" / "scheduler_config.json")
    for name in ("prediction_type", "rescale_betas_zero_snr"):
        if name in scheduler:
            found[f"scheduler.{name}"] = str(scheduler[name])
    index = _json(folder / "model_index.json")
    if "_class_name" in index:
        found["pipeline"] = str(index["_class_name"])
    return found


def _files_of(folder: Path) -> Iterator[Path]:
    for suffix in SUFFIXES:
        for variant in VARIANTS:
            for stem in STEMS:
                single = folder / f"{stem}{variant}{suffix}"
                index = folder / f"{stem}{suffix}.index{variant}.json"
                if single.is_file():
                    yield single
                    return
                if index.is_file():
                    yield from _shards(index)
                    return


def _shards(index: Path) -> Iterator[Path]:
    names = _json(index).get("weight_map")
    if not isinstance(names, dict):
        raise damaged(index, "it names no weights")
    # A name with a folder in it could point anywhere.
    for name in sorted({Path(str(value)).name for value in names.values()}):
        shard = index.parent / name
        if not shard.is_file():
            raise FileError(
                f"its part `{name}` is missing.",
                where=str(index.parent),
                todo="Download it too.",
                code="missing-part",
            )
        yield shard


def _json(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_JSON_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, "it is not readable as JSON") from error
    return value if isinstance(value, dict) else {}
