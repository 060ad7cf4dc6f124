"""Noise per picture: published numbers of an NVIDIA card, torch's own, and independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.sampling.noise import PictureNoise
from lib_dreambooth.sampling.philox import PhiloxNormals, philox_words

CPU = torch.device("cpu")
SHAPE = (4, 8, 6)


def test_numbers_of_an_nvidia_card() -> None:
    """What torch.randn(3, 4, device="cuda") gives after torch.manual_seed(0)."""
    expected = [
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    assert np.allclose(PhiloxNormals(0).draw((3, 4)), expected, atol=1e-7)


def test_known_answer() -> None:
    """Random123's for philox4x32-10 with everything 0."""
    first, second = philox_words(0, 0, 1)
    assert (int(first[0]), int(second[0])) == (0x6627E8D5, 0xE169C58D)


def test_each_draw_is_another(seed: int = 5) -> None:
    normals = PhiloxNormals(seed)
    first, second = normals.draw((1000,)), normals.draw((1000,))
    assert not np.array_equal(first, second)
    assert abs(first.mean()) < 0.1 and abs(first.std() - 1) < 0.1


@pytest.mark.gpu
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 + 5])
def test_equals_this_machine_s_card(seed: int) -> None:
    generator = torch.Generator("cuda").manual_seed(seed)
    normals = PhiloxNormals(seed)
    for _ in range(3):
        theirs = torch.randn((4, 64, 64), device="cuda", generator=generator).cpu().numpy()
        assert np.allclose(normals.draw((4, 64, 64)), theirs, atol=2e-6)


@pytest.mark.parametrize("source", ["GPU", "CPU"])
def test_on_a_cpu_both_sources_are_torch_s(source: str) -> None:
    noise = PictureNoise([3, 4], SHAPE, source, CPU)
    for index, seed in enumerate((3, 4)):
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(noise.first[index], torch.randn(SHAPE, generator=generator))
    generator = torch.Generator().manual_seed(4)
    torch.randn(SHAPE, generator=generator)
    assert torch.equal(noise.next()[1], torch.randn(SHAPE, generator=generator))


@pytest.mark.parametrize("source", ["GPU", "CPU", "NV"])
@given(seeds=st.lists(st.integers(0, 2**32), min_size=2, max_size=4), ensd=st.sampled_from([0, 31337]))
@settings(deadline=None)
def test_no_picture_depends_on_its_batch(source: str, seeds: list[int], ensd: int) -> None:
    batch = PictureNoise(seeds, SHAPE, source, CPU, ensd)
    alone = PictureNoise(seeds[-1:], SHAPE, source, CPU, ensd)
    assert torch.equal(batch.first[-1], alone.first[0])
    for _ in range(2):
        assert torch.equal(batch.next()[-1], alone.next()[0])


def test_ensd_shifts_what_follows_the_first() -> None:
    plain, shifted = PictureNoise([7], SHAPE, "CPU", CPU), PictureNoise([7], SHAPE, "CPU", CPU, ensd=10)
    assert torch.equal(plain.first, shifted.first)
    assert torch.equal(shifted.next(), PictureNoise([17], SHAPE, "CPU", CPU).first)
    assert not torch.equal(plain.next(), shifted.next())


def test_torch_s_own_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    PictureNoise([1, 2], SHAPE, "CPU", CPU, 5).next()
    assert torch.equal(before, torch.get_rng_state())
