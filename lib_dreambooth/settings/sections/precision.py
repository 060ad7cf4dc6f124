"""In how many bits things are computed and kept."""

from typing import Annotated

from lib_dreambooth.settings.conditions import ADAPTER, UNET, is_
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

HALF = is_("precision.weights", "half")


class Precision(Section, frozen=True, kw_only=True):
    """In how many bits is computed and kept."""

    mixed: Annotated[
        str,
        Option(
            "Mixed Precision",
            "What the arithmetic is done in. Auto: bf16 where the card is fast at it (RTX 30 and later), "
            "else fp16, on a CPU fp32.",
            choices={"auto": "Auto", "no": "no (fp32)", "fp16": "fp16", "bf16": "bf16"},
            basic=True,
            kohya=names("mixed_precision"),
            old=names("mixed_precision"),
        ),
    ] = "auto"
    weights: Annotated[
        str,
        Option(
            "Full Mixed Precision",
            "What the trained weights are kept in. Half needs half the memory for weights and gradients and "
            "only learns at low rates with stochastic rounding.",
            choices={"fp32": "fp32", "half": "Half (as Mixed Precision)"},
            kohya=names("full_fp16 full_bf16"),
            old=names("full_mixed_precision"),
        ),
    ] = "fp32"
    stochastic_rounding: Annotated[
        bool,
        Option(
            "Stochastic Rounding",
            "Round half-precision weights up or down by chance, so that steps smaller than a digit still "
            "count: without it a rate of 7.5e-6 moves nothing.",
            when=HALF,
        ),
    ] = True
    frozen: Annotated[
        str,
        Option(
            "Frozen Weights",
            "What the weights that are not trained are kept in. Auto: as the arithmetic. fp8 halves their "
            "memory once more at a small loss of exactness.",
            choices={
                "auto": "Auto",
                "fp32": "fp32",
                "half": "Half",
                "fp8": "fp8",
                "fp8 unet": "fp8, UNet only",
            },
            when=ADAPTER | ~UNET,
            kohya=names("fp8_base fp8_base_unet"),
        ),
    ] = "auto"
    vae: Annotated[
        str,
        Option(
            "VAE Precision",
            "Auto: fp32 for SDXL, whose own VAE breaks in fp16, else as the arithmetic.",
            choices={"auto": "Auto", "fp32": "fp32", "half": "Half"},
            kohya=names("no_half_vae sdxl_no_half_vae"),
        ),
    ] = "auto"
    tf32: Annotated[
        bool,
        Option(
            "TF32",
            "Faster fp32 arithmetic on RTX 30 and later with a little less exactness; without effect "
            "elsewhere.",
        ),
    ] = True
