"""This program as one of the runners, with the settings that its peers are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NEVER = "0 steps"


def settings(case: dict[str, Any], files: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The settings of a case; all that is not said here is at its default."""
    is_whole = case["kind"] == "whole"
    network = {"kind": "lora", "rank": case["rank"], "alpha": case["rank"] / 2}
    found: dict[str, dict[str, Any]] = {
        "model": {"base": files["checkpoint"]},
        "pictures": {"resolution": str(case["side"])},
        "network": {"kind": "none"} if is_whole else network,
        "parts.text_encoder_1": {"train": False},
        "optimizer": {"name": "AdamW", "weight_decay": 0.01, "max_grad_norm": 1.0},
        "rates": {"learning_rate": case["rate"], "schedule": "constant"},
        "loss": {"min_snr_gamma": 0.0},
        "precision": {"mixed": case["mixed"]},
        "memory": {
            "checkpointing": "on" if case["checkpointing"] else "off",
            "cache_latents": "disk" if case["keeps_latents"] else "memory",
        },
        "length": {"train_for": f"{case['steps']} steps", "batch_size": case["batch"]},
        "saving": {"state_every": NEVER, "every": NEVER},
        "previews": {"every": NEVER, "at_start": False, "at_end": False},
        "logging": {"every": 10_000},
        "draws": {"seed": 1},
    }
    for section, changes in case.get("ours", {}).items():
        found[section] = found.get(section, {}) | changes
    return found


def arguments(case: dict[str, Any], files: dict[str, str]) -> list[str]:
    """Our command for a case; writes the settings that it reads."""
    lines = []
    for section, values in settings(case, files).items():
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    lines += ["[[concepts]]", f"folder = {json.dumps(files['pictures'])}"]
    place = Path(files["work"]) / "settings.toml"
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    models = str(Path(files["work"]) / "models")
    return ["train", str(place), "--name", "run", "--models", models, "--over"]
