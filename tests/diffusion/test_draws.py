"""Draws: the same everywhere, fair, and told apart by every part of their name."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.diffusion.draws import Draw, exact_log, name_digest

# Written once and never to change: a run that is resumed under a newer version has to draw the same numbers.
GOLDEN_NORMAL = [
    "-0x1.ba1ad20000000p+0", "-0x1.aa09a60000000p+0", "-0x1.dd0f080000000p-1",
    "0x1.961c740000000p+1", "0x1.745e8c0000000p-2",
]  # fmt: skip


def golden() -> Draw:
    return Draw(1, "noise", "a", 2)


def test_golden_values() -> None:
    assert name_digest(1, "noise", "a", 2).hex() == "c60b0aadbda635b9f3dac3ab0d6c5899"
    assert golden().raw(3).tolist() == [27065966013074691, 4323101769918774680, 11798885791452540477]
    assert golden().uniform().hex() == "0x1.80a16926d9200p-10"
    assert [golden().integer(n) for n in (1000, 10**6)] == [1, 1467]
    assert [float(x).hex() for x in golden().normal((5,))] == GOLDEN_NORMAL
    assert golden().permutation(8).tolist() == [0, 3, 1, 6, 7, 5, 4, 2]


def test_golden_value_of_many_normals() -> None:
    many = Draw(7, "latent", "b", 0).normal((3, 70, 81)).astype("<f4")
    assert (
        hashlib.sha256(many.tobytes()).hexdigest()
        == "158343783cc07cefd6f6522e6522040cc26d310ae36f1eb9b5205625bbb4914e"
    )


def test_the_same_name_gives_the_same_stream_and_goes_on() -> None:
    first, again = Draw(3, "flip", "x", 1), Draw(3, "flip", "x", 1)
    assert [first.uniform() for _ in range(4)] == again.uniforms(4).tolist()


def test_every_part_of_the_name_counts() -> None:
    names = [
        (1, "a"), (2, "a"), (1, "b"), (1, "a", 0), (1, "a", "0"), (1, "a", b"0"), (1, "a", 0, 0), (1, "a", 1),
        (1, "a", -1), (1, "a", "b", "c"), (1, "a", "bc"), (1, "a", "bc", ""), (1, "a", 2**70),
    ]  # fmt: skip
    assert len({name_digest(*name) for name in names}) == len(names)


def test_the_type_of_an_integer_does_not_count() -> None:
    assert name_digest(1, "a", np.int64(5)) == name_digest(1, "a", 5)


@given(st.lists(st.one_of(st.integers(), st.text(), st.binary()), max_size=4))
def test_any_counters_make_a_stream(counters: list[int | str | bytes]) -> None:
    assert 0.0 <= Draw(0, "any", *counters).uniform() < 1.0


def chi_square(counts: list[int], expected: list[float]) -> float:
    return sum((count - want) ** 2 / want for count, want in zip(counts, expected, strict=True))


def test_integers_are_even() -> None:
    seen = Counter(Draw(5, "integer", k).integer(10) for k in range(5000))
    assert sorted(seen) == list(range(10))
    assert chi_square([seen[k] for k in range(10)], [500.0] * 10) < 27.9  # 0.1 % point at 9 degrees
    many = np.bincount(Draw(5, "integers").integers(7, 70_000), minlength=7)
    assert chi_square(many.tolist(), [10_000.0] * 7) < 22.5  # 6 degrees


def test_uniforms_are_even_and_in_range() -> None:
    numbers = Draw(6, "uniform").uniforms(100_000)
    assert numbers.min() >= 0.0 and numbers.max() < 1.0
    counts = np.histogram(numbers, bins=50, range=(0, 1))[0]
    assert chi_square(counts.tolist(), [2000.0] * 50) < 85.4  # 49 degrees


def test_choice_follows_its_weights() -> None:
    seen = Counter(Draw(8, "choice", k).choice([1, 0, 3, 6]) for k in range(10_000))
    assert seen[1] == 0
    assert chi_square([seen[0], seen[2], seen[3]], [1000.0, 3000.0, 6000.0]) < 13.8  # 2 degrees


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [math.inf]])
def test_choice_refuses_weights_that_mean_nothing(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights have to be"):
        Draw(1, "choice").choice(weights)


def test_integer_refuses_an_empty_range() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        Draw(1, "integer").integer(0)


@given(st.integers(0, 200), st.integers())
def test_a_permutation_holds_everything_once(count: int, seed: int) -> None:
    assert sorted(Draw(seed, "order").permutation(count).tolist()) == list(range(count))


def test_permutations_are_even() -> None:
    seen = Counter(tuple(Draw(k, "order").permutation(3).tolist()) for k in range(6000))
    assert len(seen) == 6
    assert chi_square(list(seen.values()), [1000.0] * 6) < 20.5  # 5 degrees


def test_normals_are_normal() -> None:
    numbers = Draw(9, "noise").normal((400_000,)).astype(np.float64)
    assert abs(numbers.mean()) < 0.006
    assert abs(numbers.var() - 1) < 0.009
    assert abs((numbers**3).mean()) < 0.02
    assert abs((numbers**4).mean() - 3) < 0.06
    edges = np.linspace(-3, 3, 25)
    cdf = [0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges]
    shares = np.diff([0.0, *cdf, 1.0])
    counts = np.histogram(numbers, bins=[-np.inf, *edges, np.inf])[0]
    assert chi_square(counts.tolist(), (shares * len(numbers)).tolist()) < 52.6  # 25 degrees


def test_neighbouring_normals_are_independent() -> None:
    numbers = Draw(10, "noise").normal((100_000,)).astype(np.float64)
    for lag in (1, 2, 4096, 8192):
        assert abs(np.mean(numbers[:-lag] * numbers[lag:])) < 0.0125, lag
        assert abs(np.mean(numbers[:-lag] ** 2 * numbers[lag:] ** 2) - 1) < 0.04, lag


def test_streams_of_neighbouring_names_are_independent() -> None:
    first = np.array([Draw(1, "noise", k).normal((1,))[0] for k in range(3000)])
    assert abs(np.mean(first[:-1] * first[1:])) < 0.07


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4, 8, 8), (8193,)])
def test_normals_have_the_shape_asked_for(shape: tuple[int, ...]) -> None:
    numbers = Draw(1, "noise").normal(shape)
    assert numbers.shape == shape and numbers.dtype == np.float32
    tensor = Draw(1, "noise").normal_tensor(shape)
    assert tuple(tensor.shape) == shape and tensor.numpy().tobytes() == numbers.tobytes()


def test_the_logarithm_is_right_over_its_whole_range() -> None:
    x = np.concatenate([np.linspace(2**-53, 1, 10_001), 2.0 ** -np.arange(54.0)])
    assert np.max(np.abs(exact_log(x) - np.log(x))) < 1e-10
    assert exact_log(np.array([1.0]))[0] == 0.0
