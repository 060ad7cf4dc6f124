"""The noise that is added, and when."""

from typing import Annotated

from lib_dreambooth.settings.conditions import is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Noise(Section, frozen=True, kw_only=True):
    """What noise pictures get, and which noise levels are practised."""

    offset: Annotated[
        float,
        Option(
            "Offset Noise",
            "Lets the model change overall brightness: darker darks, brighter lights. 0.03-0.1; more tints "
            "everything. 0: off.",
            low=0,
            high=10,
            basic=True,
            kohya=names("noise_offset"),
            old=names("offset_noise"),
        ),
    ] = 0.0
    offset_random: Annotated[
        bool,
        Option(
            "Random Offset Strength",
            "Draw each picture's strength between 0 and the value, so that brightness is less bound to it.",
            when=is_set("noise.offset"),
            kohya=names("noise_offset_random_strength"),
        ),
    ] = False
    offset_adaptive: Annotated[
        float,
        Option(
            "Adaptive Offset",
            "Adds the size of the picture's own mean, times this, to the strength of the offset. Rarely "
            "needed. 0: off.",
            low=-10,
            high=10,
            when=is_set("noise.offset"),
            kohya=names("adaptive_noise_scale"),
        ),
    ] = 0.0
    pyramid_levels: Annotated[
        int,
        Option(
            "Multires Noise Iterations",
            "Adds noise of coarser and coarser grain; 6-10. For the same end as offset noise. 0: off.",
            low=0,
            high=64,
            kohya=names("multires_noise_iterations"),
        ),
    ] = 0
    pyramid_discount: Annotated[
        float,
        Option(
            "Multires Noise Discount",
            "Strength of each coarser grain against the one before; 0.3 is moderate, 0.8 strong.",
            low=0,
            high=1,
            when=is_set("noise.pyramid_levels"),
            kohya=names("multires_noise_discount"),
        ),
    ] = 0.3
    pyramid_norm: Annotated[
        str,
        Option(
            "Multires Noise Scaled by",
            "Each picture by itself, or the whole batch together as kohya does, which makes a picture "
            "depend on its neighbours.",
            choices={"picture": "Each picture", "batch": "The batch (kohya)"},
            when=is_set("noise.pyramid_levels"),
        ),
    ] = "picture"
    perturbation: Annotated[
        float,
        Option(
            "Input Perturbation",
            "The model sees a little more noise than it is asked for; 0.1 guards against errors that add "
            "up. 0: off.",
            low=0,
            high=10,
            kohya=names("ip_noise_gamma"),
        ),
    ] = 0.0
    perturbation_random: Annotated[
        bool,
        Option(
            "Random Input Perturbation",
            "Draw each picture's strength between 0 and the value.",
            when=is_set("noise.perturbation"),
            kohya=names("ip_noise_gamma_random_strength"),
        ),
    ] = False
    zero_terminal: Annotated[
        str,
        Option(
            "Zero Terminal SNR",
            "The last step is pure noise, so that wholly dark and bright pictures become possible. For "
            "velocity models made so. Auto: as the checkpoint says.",
            choices={"auto": "Auto", "on": "On", "off": "Off"},
            kohya=names("zero_terminal_snr"),
        ),
    ] = "auto"
    first_timestep: Annotated[
        int,
        Option(
            "Min Timestep",
            "Noise levels below are not practised. 0, hardly any noise, is usual; 999 is nothing but noise.",
            low=0,
            high=999,
            kohya=names("min_timestep"),
        ),
    ] = 0
    last_timestep: Annotated[
        int,
        Option(
            "Max Timestep",
            "Noise levels from here up are not practised; 1000 is usual. High levels decide composition, "
            "low ones texture.",
            low=1,
            high=1000,
            kohya=names("max_timestep"),
        ),
    ] = 1000
    timesteps: Annotated[
        str,
        Option(
            "Timestep Distribution",
            "Which noise levels are drawn more often. All alike suits most; much noise teaches "
            "composition, little noise texture and line.",
            choices={
                "uniform": "All alike",
                "logit_normal": "The middle more (logit-normal)",
                "early": "Much noise more (composition)",
                "late": "Little noise more (texture)",
            },
        ),
    ] = "uniform"
    timesteps_spread: Annotated[
        float,
        Option(
            "Timestep Spread",
            "Width of the logit-normal distribution, or how steeply the others rise; 1 is moderate: a "
            "straight line from nothing.",
            above=0,
            high=100,
            when=~is_("noise.timesteps", "uniform"),
        ),
    ] = 1.0
    timesteps_shift: Annotated[
        float,
        Option(
            "Timestep Shift",
            "Moves the middle of the logit-normal distribution: above 0 to much noise, below to little.",
            low=-10,
            high=10,
            when=is_("noise.timesteps", "logit_normal"),
        ),
    ] = 0.0
