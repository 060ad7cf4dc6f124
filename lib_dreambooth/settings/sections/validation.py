"""Measuring on pictures that are not trained on."""

from typing import Annotated

from lib_dreambooth.base.durations import Duration, epochs
from lib_dreambooth.settings.conditions import is_set
from lib_dreambooth.settings.options import LARGEST_SEED, Option, names
from lib_dreambooth.settings.sections.section import Section

ON = is_set("validation.every")


class Validation(Section, frozen=True, kw_only=True):
    """The loss on pictures that are never trained on, with fixed noise: learning and forgetting as curves."""

    share: Annotated[
        float,
        Option(
            "Validation Split",
            "Part of the training pictures held back. Crops and duplicates of one picture stay together. "
            "With fewer than about 30 pictures every one is worth more in training.",
            low=0,
            high=0.9,
            kohya=names("validation_split"),
        ),
    ] = 0.0
    seed: Annotated[
        int,
        Option(
            "Validation Seed",
            "Decides which pictures are held back and the noise they are measured with. -1: the run's seed.",
            low=-1,
            high=LARGEST_SEED,
            kohya=names("validation_seed"),
        ),
    ] = -1
    every: Annotated[
        Duration,
        Option(
            "Validate Every",
            "How often is measured. Each time costs about as much as a few steps.",
            units=("steps", "epochs", "percent"),
            words=("never",),
            kohya=names("validate_every_n_steps validate_every_n_epochs"),
        ),
    ] = epochs(1)
    timesteps: Annotated[
        tuple[int, ...],
        Option(
            "Validation Timesteps",
            "The noise levels measured at, from 0 to 999. A few spread evenly make curves that can be "
            "compared.",
            low=0,
            high=999,
            when=ON,
        ),
    ] = (200, 400, 600, 800)
    most: Annotated[
        int,
        Option(
            "Most Validation Batches",
            "Measure no more than this each time. 0: all.",
            low=0,
            high=100000,
            when=ON,
            kohya=names("max_validation_steps"),
        ),
    ] = 0
    class_prompts: Annotated[
        bool,
        Option(
            "Measure Class Prompts",
            "Also measure the class pictures: their curve rises when the model forgets.",
            when=ON,
        ),
    ] = True
