"""The known name most like an unknown one."""

from __future__ import annotations

import difflib
import functools

from lib_dreambooth.settings.aliases import ALIASES
from lib_dreambooth.settings.fields import all_fields, all_groups, starred

# What people type for short.
SHORT = {
    "lr": "rates.learning_rate",
    "rate": "rates.learning_rate",
    "unet_rate": "parts.unet.rate",
    "te_lr": "parts.text_encoder_1.rate",
    "wd": "optimizer.weight_decay",
    "bs": "length.batch_size",
    "batch": "length.batch_size",
    "steps": "length.train_for",
    "epochs": "length.train_for",
    "dim": "network.rank",
    "size": "pictures.resolution",
    "checkpoint": "model.base",
    "trigger": "metadata.trigger",
    "output": "metadata.name",
    "images": "concepts.*.folder",
    "fp16": "precision.mixed",
    "bf16": "precision.mixed",
}


@functools.lru_cache(maxsize=1)
def paths_by_name() -> dict[str, tuple[str, ...]]:
    """Every name of a setting, here and in other tools, in lower case, with paths."""
    found: dict[str, list[str]] = {}
    for field in all_fields():
        option = field.option
        for name in (
            field.path,
            field.key,
            option.label,
            *option.kohya,
            *option.old,
            *ALIASES.get(field.path, ()),
        ):
            known = found.setdefault(name.lower(), [])
            if field.path not in known:
                known.append(field.path)
    return {name: tuple(paths) for name, paths in found.items()}


def paths_for(name: str) -> tuple[str, ...]:
    """The settings that someone may mean by a name, in any tool's spelling."""
    return paths_by_name().get(name.strip().lower(), ())


def nearest(path: str) -> str:
    """The path most like an unknown one, or an empty text where none is near."""
    wanted = starred(path).lower()
    key = wanted.rsplit(".", 1)[-1]
    if key in SHORT:
        return SHORT[key]
    exact = paths_for(wanted) or paths_for(key)
    if exact:
        section = wanted.split(".")[0]
        return next((found for found in exact if found.startswith(section)), exact[0])
    names = [field.path for field in all_fields()] + [group.path for group in all_groups()]
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    if not close:
        keys = difflib.get_close_matches(key, list(paths_by_name()), n=1, cutoff=0.7)
        close = [paths_by_name()[keys[0]][0]] if keys else []
    return close[0] if close else ""
