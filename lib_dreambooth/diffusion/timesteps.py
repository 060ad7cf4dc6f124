"""Which noise levels are practised, and how often."""

from __future__ import annotations

import math

from lib_dreambooth.diffusion.draws import Draw

UNIFORM, LOGIT_NORMAL, EARLY, LATE = "uniform", "logit_normal", "early", "late"
DISTRIBUTIONS = (UNIFORM, LOGIT_NORMAL, EARLY, LATE)


def draw_timestep(
    distribution: str, first: int, last: int, draw: Draw, *, spread: float = 1.0, shift: float = 0.0
) -> int:
    """A whole timestep from `first` up to, not with, `last`."""
    if distribution == UNIFORM:
        return first + draw.integer(last - first)
    part = drawn_part(distribution, draw, spread, shift)
    return min(first + int(part * (last - first)), last - 1)


def drawn_part(distribution: str, draw: Draw, spread: float, shift: float) -> float:
    """A place in the range, from 0 (hardly any noise) to 1.

    "logit_normal" is the logistic function of a normal number with that spread and mean (arXiv 2403.03206,
    3.1). The density of "early" grows with the noise as its `spread`th power; "late" is its mirror image.
    """
    if distribution == LOGIT_NORMAL:
        return logistic(shift + spread * float(draw.normal()))
    risen = (1.0 - draw.uniform()) ** (1.0 / (1.0 + spread))
    assert distribution in (EARLY, LATE), distribution
    return risen if distribution == EARLY else 1.0 - risen


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) that never overflows."""
    small = math.exp(-abs(x))
    return 1.0 / (1.0 + small) if x >= 0 else small / (1.0 + small)
