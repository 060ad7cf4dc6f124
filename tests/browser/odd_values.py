"""For every setting what a person may type that is not its default, and the value that it means."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import Field, all_fields

UNITS_SHOWN = {"percent": "%", "minutes": "min"}
# One number for each block of the UNet.
BLOCKS = [3, 5] * 12 + [7]
LAYERS = "unet.mid_block.*"


@dataclass(frozen=True)
class Odd:
    """What is typed, and what stands in the settings then."""

    typed: str
    meant: Any


def odd_values(pictures: Path) -> dict[str, Odd]:
    """By path, with numbers for entries of lists: every setting of the schema, none left out."""
    files = {
        "model.base": MINI_CHECKPOINT,
        "concepts.0.folder": pictures,
        "concepts.0.class_folder": copied(pictures, pictures.with_name("classes")),
        "concepts.0.mask_folder": made(pictures.with_name("masks")),
        "concepts.0.metadata_file": written(pictures.with_name("meta.json"), told_of(pictures)),
    }
    found = {field.path.replace("*", "0"): odd(field) for field in all_fields()}
    found |= SPECIAL | {path: Odd(str(place), str(place)) for path, place in files.items()}
    # The first concept has to be trained: another one is used for something else.
    found["concepts.1.role"] = Odd("Validation", "validation")
    del found["concepts.0.role"]
    return found | {"concepts.1.folder": found["concepts.0.folder"]}


def told_of(pictures: Path) -> str:
    """What kohya's scripts write of a folder."""
    return json.dumps({str(path): {"tags": "ring, odd"} for path in sorted(pictures.glob("*.png"))})


def copied(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place, dirs_exist_ok=True))


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def odd(field: Field) -> Odd:
    """Any value of the kind that the setting can have."""
    option, kind, default = field.option, field.kind, plain(field.default)
    if kind == "switch":
        return Odd(str(not default).lower(), not default)
    if kind in ("text", "whole") and option.choices and not option.open_choices:
        return next(Odd(label, one) for one, label in option.choices.items() if one != default)
    if kind == "duration":
        return Odd(f"7 {UNITS_SHOWN.get(option.units[0], option.units[0])}", f"7 {shown(option.units[0])}")
    if kind in ("whole", "number"):
        number = next(one for one in candidates(field) if one != default and fits(field, one))
        return Odd(str(number), number)
    if kind == "size":
        return Odd("320x448", "320x448")
    if kind == "texts":
        chosen = [one for one in option.choices if [one] != default][:1] or ["odd, words", "even"]
        return Odd("\n".join(chosen), chosen)
    if kind in ("wholes", "numbers"):
        return Odd("3, 5", [3, 5])
    return tables(field)


def tables(field: Field) -> Odd:
    """Names with values, and texts of any kind."""
    if field.kind == "table":
        return Odd("odd=3; even=words", {"odd": 3, "even": "words"})
    if field.kind.endswith("table"):
        return Odd("IN01=2", {"IN01": 2})
    if field.kind == "overrides":
        return Odd(
            "pictures.flip=true; captions.prefix=odd", {"pictures.flip": True, "captions.prefix": "odd"}
        )
    text = "#123456" if field.option.picks == "colour" else 'odd <b>words</b>, "quoted" 猫'
    return Odd(text, text)


def shown(unit: str) -> str:
    return {"percent": "%"}.get(unit, unit)


def candidates(field: Field) -> list[float]:
    low, high = field.option.low, field.option.high
    whole = field.kind == "whole"
    found: list[float] = [3, 2, 5, 0, 1, 64, 128] if whole else [0.25, 0.5, 0.75, 1.5, 0, 1, 3]
    return found + [one for one in (low, high) if one is not None]


def fits(field: Field, value: float) -> bool:
    option = field.option
    return (
        (option.low is None or value >= option.low)
        and (option.high is None or value <= option.high)
        and (option.above is None or value > option.above)
    )


def numbers(values: list[int]) -> Odd:
    return Odd(", ".join(map(str, values)), values)


# Where not any value of the kind will do: names of what is there, and what goes with the other odd values.
SPECIAL = {
    "network.include": Odd(f"unet.down_blocks.*\n{LAYERS}", ["unet.down_blocks.*", LAYERS]),
    "network.exclude": Odd("unet.up_blocks.*", ["unet.up_blocks.*"]),
    "network.layer_ranks": Odd(f"{LAYERS}=2", {LAYERS: 2}),
    "network.layer_alphas": Odd(f"{LAYERS}=3", {LAYERS: 3}),
    "parts.unet.layer_rates": Odd(f"{LAYERS}=0.5", {LAYERS: 0.5}),
    "parts.unet.block_rates": numbers(BLOCKS),
    **{f"network.block_{name}": numbers(BLOCKS) for name in ("ranks", "alphas", "conv_ranks", "conv_alphas")},
    "words.0.name": Odd("zwx-odd", "zwx-odd"),
    "optimizer.name": Odd("Lion", "Lion"),
    "optimizer.arguments": Odd(
        '{"betas": [0.5, 0.75], "maximize": true}', {"betas": [0.5, 0.75], "maximize": True}
    ),
    "memory.device": Odd("cpu", "cpu"),
    "memory.cache_latents": Odd("Off", "off"),
    "memory.cache_text": Odd("Off", "off"),
    "memory.fused_backward": Odd("Off", "off"),
    "precision.mixed": Odd("bf16", "bf16"),
    "ema.save": Odd("Both, as two files", "both"),
    "pictures.bucket_max": Odd("2048", 2048),
    "noise.last_timestep": Odd("500", 500),
    "draws.seed": Odd("9007199254740991", 9007199254740991),
}
