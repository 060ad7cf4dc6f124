"""The average of the weights."""

from typing import Annotated

from lib_dreambooth.settings.conditions import is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

ON = is_set("ema.use")


class Ema(Section, frozen=True, kw_only=True):
    """A running average of the trained weights beside them; the live weights never change because of it."""

    use: Annotated[
        bool,
        Option(
            "Use EMA",
            "Keep a running average of what is trained. It evens out the last steps; it costs the trained "
            "weights once more in memory.",
            old=names("use_ema train_ema"),
        ),
    ] = False
    decay: Annotated[
        float,
        Option(
            "EMA Decay",
            "How slowly the average follows: 0.999 looks back about a thousand steps, right for small sets; "
            "0.9999 for many thousand steps. It follows faster at the beginning by itself.",
            low=0,
            high=0.999999,
            when=ON,
        ),
    ] = 0.999
    every: Annotated[
        int,
        Option(
            "EMA Update Interval",
            "Update the average every so many steps. 1 is exact; 10 saves a little time.",
            unit="steps",
            low=1,
            high=10000,
            when=ON,
        ),
    ] = 1
    place: Annotated[
        str,
        Option(
            "EMA Kept in",
            "System memory saves the card's memory at a little time per update.",
            choices={"card": "Graphics memory", "system": "System memory"},
            when=ON,
        ),
    ] = "card"
    save: Annotated[
        str,
        Option(
            "Save EMA Weights",
            "Which weights go into the files. The average is what EMA is kept for; both lets you compare.",
            choices={"average": "The average", "live": "The live weights", "both": "Both, as two files"},
            when=ON,
            old=names("save_ema"),
        ),
    ] = "average"
    preview: Annotated[
        str,
        Option(
            "Use EMA Weights for Inference",
            "Which weights draw the previews. The average shows what will be saved.",
            choices={"average": "The average", "live": "The live weights", "both": "Both"},
            when=ON,
            old=names("infer_ema"),
        ),
    ] = "average"
