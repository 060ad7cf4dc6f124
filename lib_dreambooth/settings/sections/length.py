"""How long, and in what portions."""

from typing import Annotated

from lib_dreambooth.base.durations import NEVER, Duration, epochs
from lib_dreambooth.settings.conditions import is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Length(Section, frozen=True, kw_only=True):
    """How long training goes on, and in what portions. The line above Train shows the arithmetic."""

    train_for: Annotated[
        Duration,
        Option(
            "Training Length",
            "Steps or epochs. An epoch sees every picture as often as its repeats; a step moves the weights "
            "once. Until stopped: it goes on until you stop it, and needs a schedule without an end.",
            units=("steps", "epochs"),
            words=("until stopped",),
            above=0,
            basic=True,
            kohya=names("max_train_epochs max_train_steps epoch"),
            old=names("num_train_epochs max_train_steps"),
        ),
    ] = epochs(10)
    whole_epochs: Annotated[
        bool,
        Option(
            "Whole Epochs",
            "Take the number of whole epochs nearest to the steps asked for, so that every picture is seen "
            "equally often.",
        ),
    ] = False
    batch_size: Annotated[
        int,
        Option(
            "Batch Size",
            "Pictures in one go. More is smoother and needs more memory; the rate may rise with its square "
            "root.",
            low=1,
            high=1000,
            basic=True,
            kohya=names("train_batch_size batch_size"),
            old=names("train_batch_size"),
        ),
    ] = 1
    accumulation: Annotated[
        int,
        Option(
            "Gradient Accumulation Steps",
            "Batches before the weights move once: the effect of a larger batch without its memory, in more "
            "time.",
            low=1,
            high=10000,
            kohya=names("gradient_accumulation_steps"),
            old=names("gradient_accumulation_steps"),
        ),
    ] = 1
    pause_every: Annotated[
        Duration,
        Option(
            "Pause After N Epochs",
            "Let the card rest regularly, where it or the room gets too hot. The result stays the same. "
            "Never is usual.",
            units=("steps", "epochs", "minutes"),
            words=("never",),
            old=names("epoch_pause_frequency"),
        ),
    ] = NEVER
    pause_for: Annotated[
        float,
        Option(
            "Amount of time to pause",
            "How long each rest takes; 60 s is plenty.",
            unit="s",
            low=0,
            high=86400,
            when=is_set("length.pause_every"),
            old=names("epoch_pause_time"),
        ),
    ] = 60.0
