"""Where a WebUI looks for its files, by its flags as far as it has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_dreambooth.base.host import HostPaths


def paths_of_webui() -> HostPaths:
    """Its folders. Flags that name several (Neo) give results to the first; all may hold bases."""
    from modules import paths, shared

    models = Path(paths.models_path).absolute()
    checkpoints = [*named(shared.cmd_opts, "ckpt_dir", "ckpt_dirs"), models / "Stable-diffusion"]
    return HostPaths(
        models=models,
        adapters=first(shared.cmd_opts, models / "Lora", "lora_dir", "lora_dirs"),
        checkpoints=checkpoints[0],
        embeddings=first(shared.cmd_opts, data_folder() / "embeddings", "embeddings_dir"),
        vae=first(shared.cmd_opts, models / "VAE", "vae_dir", "vae_dirs"),
        diffusers=models / "diffusers",
        more_checkpoints=tuple(dict.fromkeys(path for path in checkpoints[1:] if path != checkpoints[0])),
    )


def data_folder() -> Path:
    """Where the WebUI keeps what is the user's."""
    from modules import paths

    return Path(paths.data_path).absolute()


def first(options: Any, default: Path, *flags: str) -> Path:
    """The first folder that one of the flags names."""
    return next(iter(named(options, *flags)), default)


def named(options: Any, *flags: str) -> list[Path]:
    """Every folder that the flags name; not every host has each flag."""
    found: list[Path] = []
    for flag in flags:
        value = getattr(options, flag, None) or []
        found += [Path(one).absolute() for one in ([value] if isinstance(value, (str, Path)) else value)]
    return found
