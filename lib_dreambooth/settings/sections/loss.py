"""What counts as an error."""

from typing import Annotated

from lib_dreambooth.settings.conditions import is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

HUBER = is_("loss.kind", "huber", "smooth_l1")
# "auto" may turn out to be velocity.
VELOCITY = is_("model.prediction", "auto", "velocity")
MASKED = is_set("pictures.masks") | is_("pictures.alpha", "mask", "both")
SNR = (
    is_set("loss.min_snr_gamma")
    | is_set("loss.debiased")
    | is_set("loss.scale_v_pred")
    | is_set("loss.v_pred_like")
)


class Loss(Section, frozen=True, kw_only=True):
    """How the difference between prediction and target is counted."""

    kind: Annotated[
        str,
        Option(
            "Loss Type",
            "L2 is the usual one. Huber counts large errors less, which helps with a few bad pictures.",
            choices={"l2": "L2", "l1": "L1", "huber": "Huber", "smooth_l1": "Smooth L1"},
            kohya=names("loss_type"),
        ),
    ] = "l2"
    huber_schedule: Annotated[
        str,
        Option(
            "Huber Schedule",
            "How the Huber parameter depends on the noise. SNR, the usual one, starts near 1 on little "
            "noise and falls; constant keeps it.",
            choices={"snr": "SNR", "exponential": "Exponential", "constant": "Constant"},
            when=HUBER,
            kohya=names("huber_schedule"),
        ),
    ] = "snr"
    huber_c: Annotated[
        float,
        Option(
            "Huber Parameter",
            "Errors larger than this count linearly; 0.1 is usual, less is more forgiving to odd pictures.",
            above=0,
            high=100,
            when=HUBER,
            kohya=names("huber_c"),
        ),
    ] = 0.1
    huber_scale: Annotated[
        float,
        Option(
            "Huber Scale",
            "A factor on the Huber parameter; 1 leaves it as it is.",
            above=0,
            high=1000,
            when=is_("loss.kind", "huber", "smooth_l1")
            & is_("loss.huber_schedule", "constant", "exponential"),
            kohya=names("huber_scale"),
        ),
    ] = 1.0
    min_snr_gamma: Annotated[
        float,
        Option(
            "Min SNR Gamma",
            "Little noise counts less, so that all noise levels learn evenly; 5 is usual and nearly always "
            "helps. 0: off.",
            low=0,
            high=1000,
            basic=True,
            kohya=names("min_snr_gamma"),
            old=names("min_snr_gamma"),
        ),
    ] = 5.0
    debiased: Annotated[
        bool,
        Option(
            "Debiased Estimation",
            "Weigh by the root of the noise ratio. An alternative to Min SNR; use one of them, mostly "
            "Min SNR.",
            kohya=names("debiased_estimation_loss"),
        ),
    ] = False
    scale_v_pred: Annotated[
        bool,
        Option(
            "Scale V Loss like Noise Loss",
            "Count errors of a velocity model as a noise model would, so that much noise counts less. "
            "For v-prediction models; off is usual.",
            when=VELOCITY,
            kohya=names("scale_v_pred_loss_like_noise_pred"),
        ),
    ] = False
    v_pred_like: Annotated[
        float,
        Option(
            "V-like Loss",
            "Add a part weighed as a velocity model would, for noise models. For repeating kohya runs. "
            "0: off, as is usual.",
            low=0,
            high=1000,
            when=~is_("model.prediction", "velocity"),
            kohya=names("v_pred_like_loss"),
        ),
    ] = 0.0
    snr_of: Annotated[
        str,
        Option(
            "SNR Taken from",
            "The schedule really trained on, or as kohya's scripts, which look the ratio up before the "
            "zero-terminal change.",
            choices={"trained": "The trained schedule", "kohya": "As kohya"},
            when=SNR & ~is_("noise.zero_terminal", "off"),
        ),
    ] = "trained"
    mask_average: Annotated[
        str,
        Option(
            "Masked Loss Averaged over",
            "The mask: small subjects learn as fast as large ones. The picture: as kohya does, small masks "
            "then count for little.",
            choices={"mask": "The mask", "picture": "The whole picture (kohya)"},
            when=MASKED,
        ),
    ] = "mask"
    outside_mask: Annotated[
        float,
        Option(
            "Weight outside the Mask",
            "How much the black parts of a mask still count: 0 not at all, 0.1 keeps the ground from "
            "falling apart.",
            low=0,
            high=1,
            when=MASKED,
        ),
    ] = 0.0
    unmasked: Annotated[
        float,
        Option(
            "Unmasked Share",
            "Share of visits in which the mask is left aside; 0.1 shows the model the whole picture now "
            "and then. 0: the mask always counts.",
            low=0,
            high=1,
            when=MASKED,
        ),
    ] = 0.0
    outside_base: Annotated[
        float,
        Option(
            "Outside the Mask as the Base",
            "Weight of keeping what is outside the mask as the untouched model would draw it. 0: off.",
            low=0,
            high=100,
            when=MASKED,
        ),
    ] = 0.0
