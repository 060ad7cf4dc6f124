"""Our pictures against a running WebUI's, on the miniature.

Start the WebUI with `--api`, run `python run.py mini --into WEBUI`, then
`WEBUI_URL=http://127.0.0.1:7860 python run.py test tests/hosts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.picture_settings import SAMPLERS, PictureSettings
from lib_dreambooth.tools.mini import MODEL_NAME
from tests.hosts import webui

pytestmark = pytest.mark.skipif(not webui.WEBUI_URL, reason="needs a running WebUI named by WEBUI_URL")

MIN_PSNR_DB = 45.0
EXACT_SAMPLERS = ("euler", "ddim")


@dataclass(frozen=True)
class Case:
    """A prompt with settings that reach different parts of the way to a picture."""

    name: str
    prompt: str
    negative: str = ""
    seed: int = 1
    guidance: float = 7.0
    size_wh: tuple[int, int] = (128, 128)
    clip_skip: int = 1
    count: int = 1


LONG = ", ".join(["a red circle on a blue background"] * 14)
CASES = (
    Case("plain", "a red circle on a blue background"),
    Case("negative", "a yellow star on a black background", "circle, red", seed=7, guidance=4.0),
    Case("weights", "a (green:1.3) [square] on a ((pink)) background", seed=12345),
    Case("long", f"{LONG} BREAK a purple ring", seed=99),
    Case("clip skip", "a blue cross on a white background", seed=3, clip_skip=2),
    Case("wide batch", "an orange triangle, gray background", seed=20, size_wh=(192, 128), count=2),
)


@pytest.fixture(scope="module")
def generator() -> Generator:
    webui.select_checkpoint(MODEL_NAME)
    import torch

    return Generator(read_model(MINI_CHECKPOINT, dtype=torch.float32))


@pytest.fixture(scope="module")
def noise_source() -> str:
    return str(webui.call("/sdapi/v1/options").get("randn_source", "GPU"))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_txt2img_gives_our_picture(case: Case, sampler: str, generator: Generator, noise_source: str) -> None:
    width, height = case.size_wh
    known = SAMPLERS[sampler]
    theirs = webui.txt2img(
        prompt=case.prompt,
        negative_prompt=case.negative,
        seed=case.seed,
        steps=20,
        cfg_scale=case.guidance,
        width=width,
        height=height,
        batch_size=case.count,
        sampler_name=known.title,
        scheduler=known.schedule_title,
        override_settings={"CLIP_stop_at_last_layers": case.clip_skip},
    )
    settings = PictureSettings(
        sampler=sampler,
        guidance=case.guidance,
        width=width,
        height=height,
        seed=case.seed,
        clip_skip=case.clip_skip,
        noise_source=noise_source,
        batch_size=case.count,
    )
    ours = list(generator.draw([Request(case.prompt, case.negative)] * case.count, settings))
    values = [webui.psnr(np.asarray(a), b) for a, b in zip(ours, theirs[-case.count :], strict=True)]
    print(f"{case.name:12} {sampler:16} {min(values):6.1f} dB")
    # Samplers that add noise, and those of higher order, multiply rounding differences.
    assert min(values) >= (MIN_PSNR_DB if sampler in EXACT_SAMPLERS else 35.0)
