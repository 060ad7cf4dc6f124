"""The YAML file beside a checkpoint from which a WebUI builds the model."""

from __future__ import annotations

import re
from pathlib import Path

MAX_YAML_BYTES = 1_000_000
_V_PARAMETERIZATION = re.compile(r"""^\s*parameterization\s*:\s*["']?v["']?\s*(#.*)?$""", re.MULTILINE)
_V_SCALING = re.compile(r"\bVScaling\b")


def yaml_path(checkpoint: Path) -> Path:
    """Where hosts look for it."""
    return checkpoint.with_suffix(".yaml")


def prediction_of_yaml(checkpoint: Path) -> str:
    """What the YAML file beside a checkpoint says of its prediction: "v", "epsilon" or nothing."""
    path = yaml_path(checkpoint)
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES).decode("utf-8", errors="replace")
    except OSError:
        # It is only a hint; the checkpoint itself has been read.
        return ""
    if _V_PARAMETERIZATION.search(text) or _V_SCALING.search(text):
        return "v"
    return "epsilon" if "target:" in text else ""
