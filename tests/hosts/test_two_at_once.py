"""Two files in one prompt whose second depends on the weight, drawn by a running WebUI: the same as ours.

Started as for `test_trained.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import SAMPLERS, PictureSettings
from lib_dreambooth.tools.mini import MODEL_NAME
from tests.adapters.conftest import written
from tests.hosts import webui

pytestmark = pytest.mark.skipif(
    not (webui.WEBUI_URL and webui.WEBUI_MODELS), reason="needs WEBUI_URL and WEBUI_MODELS of a running WebUI"
)

MIN_PSNR_DB = 45.0
MIN_GAIN_DB = 15.0
FOLDER = "dreambooth-two-test"
PROMPT, SEED, SIDE, STEPS, GUIDANCE = "a red circle on a blue background", 5, 128, 20, 4.0
SAMPLER = "euler"
FIRST = ("loha", 0.6)
STRENGTH = 0.5


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    webui.select_checkpoint(MODEL_NAME)
    return read_model(MINI_CHECKPOINT, dtype=torch.float32)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(webui.WEBUI_MODELS).resolve() / "Lora" / FOLDER
    made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        webui.call("/sdapi/v1/refresh-loras", {})


def theirs(tags: str) -> np.ndarray:
    known = SAMPLERS[SAMPLER]
    return webui.txt2img(
        prompt=PROMPT + tags,
        seed=SEED,
        steps=STEPS,
        cfg_scale=GUIDANCE,
        width=SIDE,
        height=SIDE,
        sampler_name=known.title,
        scheduler=known.schedule_title,
    )[-1]


@pytest.mark.parametrize("kind", ["ia3", "oft", "glora", "dora"])
def test_the_second_starts_from_what_the_first_made(kind: str, model: LoadedModel, folder: Path) -> None:
    uses = [
        LoraUse(written(model, folder, FIRST[0], 1), FIRST[1]),
        LoraUse(written(model, folder, kind, 2), STRENGTH),
    ]
    webui.call("/sdapi/v1/refresh-loras", {})
    drawn = theirs("".join(use.tag for use in uses))
    settings = PictureSettings(
        sampler=SAMPLER,
        steps=STEPS,
        guidance=GUIDANCE,
        width=SIDE,
        height=SIDE,
        seed=SEED,
        noise_source=str(webui.call("/sdapi/v1/options").get("randn_source", "GPU")),
    )
    generator = Generator(model)

    def ours(given: list[LoraUse]) -> float:
        (found,) = generator.draw([Request(PROMPT)], settings, loras=given)
        return webui.psnr(np.asarray(found), drawn)

    value, swapped, first = ours(uses), ours(uses[::-1]), ours(uses[:1])
    print(f"{kind:6} {value:6.1f} dB, the other way round {swapped:6.1f}, without the second {first:6.1f}")
    assert value >= max(MIN_PSNR_DB, swapped + MIN_GAIN_DB, first + MIN_GAIN_DB)
