"""Chance."""

from typing import Annotated

from lib_dreambooth.settings.options import LARGEST_SEED, Option, names
from lib_dreambooth.settings.sections.section import Section


class Draws(Section, frozen=True, kw_only=True):
    """What is left to chance, and how to repeat it."""

    seed: Annotated[
        int,
        Option(
            "Seed",
            "The same seed, settings and pictures give the same result. -1: another one each run; it is "
            "written into the run's copy of the settings.",
            low=-1,
            high=LARGEST_SEED,
            kohya=names("seed"),
            old=names("seed"),
        ),
    ] = -1
    deterministic: Annotated[
        bool,
        Option(
            "Deterministic",
            "Also choose only repeatable arithmetic on the graphics card. Slower; on a CPU it is always so.",
            old=names("deterministic"),
        ),
    ] = False
