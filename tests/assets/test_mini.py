"""The miniature does what the tests that lean on it take for granted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import drawing
from lib_dreambooth.assets.shapes.judge import judge
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.picture_settings import PictureSettings

pytestmark = pytest.mark.once

GUIDANCE = 4.0


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return read_model(MINI_CHECKPOINT, dtype=torch.float32)


def test_it_is_a_small_whole_checkpoint() -> None:
    kind = identify(MINI_CHECKPOINT)
    assert (kind.family, kind.role, kind.missing_parts, kind.damaged_parts) == ("sd1", "checkpoint", (), ())
    assert MINI_CHECKPOINT.stat().st_size <= 20_000_000


@pytest.mark.slow
def test_its_vae_rebuilds_pictures_it_never_saw(mini: LoadedModel) -> None:
    random = np.random.Generator(np.random.Philox(99))
    errors = []
    for scene in drawing.held_out_scenes():
        picture = np.asarray(drawing.draw_varied(scene, random))
        pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            rebuilt = mini.vae.decode(mini.vae.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
        errors.append(float((rebuilt - pixels).pow(2).mean()) / 4)
    assert -10 * np.log10(np.mean(errors)) >= 28.0


@pytest.mark.slow
def test_its_latents_have_the_scale_of_stable_diffusion(mini: LoadedModel) -> None:
    random = np.random.Generator(np.random.Philox(98))
    pictures = np.stack([np.asarray(drawing.draw_varied(s, random)) for s in drawing.training_scenes()[:32]])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = mini.vae.encode(pixels).latent_dist.mean * mini.latent_scale
    assert 0.85 <= float(latents.std()) <= 1.15


@pytest.mark.slow
def test_it_draws_what_it_is_asked_for(mini: LoadedModel) -> None:
    scenes = drawing.held_out_scenes()
    requests = [Request(scene.prompt, seed=1000 + number) for number, scene in enumerate(scenes)]
    settings = PictureSettings(sampler="ddim", guidance=GUIDANCE, width=128, height=128, batch_size=16)
    pictures = Generator(mini).draw(requests, settings)
    verdicts = [judge(np.asarray(picture)) for picture in pictures]
    right = [verdict.shows(s.shape, s.colour) for s, verdict in zip(scenes, verdicts, strict=True)]
    wrong = [
        (s.prompt, v.colour, v.shape) for s, v, ok in zip(scenes, verdicts, right, strict=True) if not ok
    ]
    assert np.mean(right) >= 0.9, wrong
