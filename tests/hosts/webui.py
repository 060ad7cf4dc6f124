"""A running WebUI, spoken to over its API."""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.request
from typing import Any

import numpy as np
from PIL import Image

WEBUI_URL = os.environ.get("WEBUI_URL", "").rstrip("/")
# Its models folder, for tests that put files there.
WEBUI_MODELS = os.environ.get("WEBUI_MODELS", "")
TIMEOUT_S = 600


def call(path: str, body: dict[str, Any] | None = None) -> Any:
    """POSTs `body` as JSON, or GETs where there is none."""
    data = None if body is None else json.dumps(body).encode("utf-8")
    request = urllib.request.Request(WEBUI_URL + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read().decode("utf-8"))


def select_checkpoint(name: str) -> None:
    """Loads the checkpoint whose file is called `name`."""
    call("/sdapi/v1/refresh-checkpoints", {})
    titles = [model["title"] for model in call("/sdapi/v1/sd-models") if model["model_name"] == name]
    assert titles, f"the WebUI does not list {name}; put it there with `python run.py mini --into WEBUI`"
    call("/sdapi/v1/options", {"sd_model_checkpoint": titles[0]})


def txt2img(**settings: Any) -> list[np.ndarray]:
    """The pictures, uint8 [height, width, 3]."""
    images = call("/sdapi/v1/txt2img", settings)["images"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")) for image in images]


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """In dB, for uint8 pictures; infinite where they are the same."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
