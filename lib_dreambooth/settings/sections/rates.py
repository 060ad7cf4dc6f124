"""The learning rate over time."""

from typing import Annotated

from lib_dreambooth.base.durations import Duration, percent, steps
from lib_dreambooth.settings.conditions import COMMON_RATE, is_
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

SCHEDULES = {
    "constant": "Constant",
    "linear": "Linear",
    "cosine": "Cosine",
    "cosine_with_restarts": "Cosine with restarts",
    "polynomial": "Polynomial",
    "inverse_sqrt": "Inverse square root",
    "warmup_stable_decay": "Warm-up, stable, decay",
    "rex": "REX",
    "one_cycle": "One cycle",
    "piecewise_constant": "Piecewise constant",
}
FALLING = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
    "warmup_stable_decay",
    "rex",
    "one_cycle",
)


class Rates(Section, frozen=True, kw_only=True):
    """The learning rate and how it changes over the run."""

    learning_rate: Annotated[
        float,
        Option(
            "Learning Rate",
            "How far each step moves. LoRA: 1e-4. Whole weights: 1e-6 to 5e-6. Prodigy and D-Adapt: 1. Too "
            "high burns colours and shapes, too low learns nothing; parts may have rates of their own.",
            low=0,
            high=10,
            basic=True,
            when=COMMON_RATE,
            kohya=names("learning_rate"),
            old=names("learning_rate lora_learning_rate"),
        ),
    ] = 1e-4
    schedule: Annotated[
        str,
        Option(
            "Learning Rate Scheduler",
            "Constant works for runs of open length. Cosine and the other falling ones end smoother and "
            "need to know the end.",
            choices=SCHEDULES,
            basic=True,
            kohya=names("lr_scheduler lr_scheduler_type"),
            old=names("lr_scheduler"),
        ),
    ] = "constant"
    warmup: Annotated[
        Duration,
        Option(
            "Learning Rate Warmup Steps",
            "The rate rises evenly from 0 to its value over this long. 5 % is plenty; with whole weights it "
            "prevents early damage.",
            units=("steps", "epochs", "percent"),
            basic=True,
            kohya=names("lr_warmup_steps lr_warmup warmup_ratio"),
            old=names("lr_warmup_steps"),
        ),
    ] = steps(0)
    restarts: Annotated[
        int,
        Option(
            "Number of Hard Resets",
            "How many times the cosine falls; after each fall it starts again at the full rate. 1: a plain "
            "cosine.",
            low=1,
            high=1000,
            when=is_("rates.schedule", "cosine_with_restarts"),
            kohya=names("lr_scheduler_num_cycles"),
            old=names("lr_cycles"),
        ),
    ] = 1
    power: Annotated[
        float,
        Option(
            "Polynomial Power",
            "1 falls evenly, 2 falls fast at first.",
            above=0,
            high=100,
            when=is_("rates.schedule", "polynomial"),
            kohya=names("lr_scheduler_power"),
            old=names("lr_power"),
        ),
    ] = 1.0
    timescale: Annotated[
        Duration,
        Option(
            "Inverse Square Root Timescale",
            "After this long the rate has fallen to 0.7. Auto: the length of the warm-up, or a twentieth of "
            "the run.",
            units=("steps", "epochs", "percent"),
            words=("auto",),
            above=0,
            when=is_("rates.schedule", "inverse_sqrt"),
            kohya=names("lr_scheduler_timescale"),
        ),
    ] = Duration(0, "auto")
    decay: Annotated[
        Duration,
        Option(
            "Decay Length",
            "How long the rate falls at the end; 20 % is usual.",
            units=("steps", "epochs", "percent"),
            when=is_("rates.schedule", "warmup_stable_decay"),
            kohya=names("lr_decay_steps"),
        ),
    ] = percent(20)
    floor: Annotated[
        float,
        Option(
            "Lowest Part of the Rate",
            "Falling schedules end at this part of the rate instead of 0; 0.1 lets the last steps still "
            "teach something.",
            low=0,
            high=1,
            when=is_("rates.schedule", *FALLING),
            kohya=names("lr_scheduler_min_lr_ratio"),
            old=names("learning_rate_min"),
        ),
    ] = 0.0
    pieces: Annotated[
        str,
        Option(
            "Steps and Factors",
            "Factors on the rate with the step each lasts to, the last without: 1:500,0.3:1500,0.1.",
            when=is_("rates.schedule", "piecewise_constant"),
            kohya=names("lr_scheduler_args"),
        ),
    ] = "1:500,0.3:1500,0.1"
    scale: Annotated[
        bool,
        Option(
            "Scale Learning Rate",
            "Multiply the rates by batch size, accumulation and number of cards. It is a fixed factor: the "
            "rate does not fall over time because of it, and what you typed stays as you typed it.",
            old=names("scale_lr"),
        ),
    ] = False
