"""The optimizer."""

from typing import Annotated, Any

import msgspec

from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

# Value to label; the spelling is the one kohya's users know, read without regard to case.
OPTIMIZERS = {
    "AdamW": "AdamW",
    "AdamW8bit": "AdamW 8-bit (needs bitsandbytes)",
    "PagedAdamW8bit": "Paged AdamW 8-bit (needs bitsandbytes)",
    "AdamMini": "Adam-mini (needs pytorch-optimizer)",
    "Lion": "Lion",
    "Lion8bit": "Lion 8-bit (needs bitsandbytes)",
    "PagedLion8bit": "Paged Lion 8-bit (needs bitsandbytes)",
    "AdaFactor": "Adafactor",
    "CAME": "CAME (needs pytorch-optimizer)",
    "Prodigy": "Prodigy (finds its rate)",
    "DAdaptAdam": "D-Adapt Adam (finds its rate)",
    "DAdaptAdaGrad": "D-Adapt AdaGrad (finds its rate)",
    "DAdaptAdan": "D-Adapt Adan (finds its rate)",
    "DAdaptLion": "D-Adapt Lion (finds its rate)",
    "DAdaptSGD": "D-Adapt SGD (finds its rate)",
    "AdamWScheduleFree": "AdamW Schedule-Free (needs pytorch-optimizer)",
    "RAdamScheduleFree": "RAdam Schedule-Free (needs pytorch-optimizer)",
    "SGDScheduleFree": "SGD Schedule-Free (needs pytorch-optimizer)",
    "SGD": "SGD",
}


class Optimizer(Section, frozen=True, kw_only=True):
    """How the weights are moved."""

    name: Annotated[
        str,
        Option(
            "Optimizer",
            "AdamW is the safe choice. The 8-bit ones learn the same with a quarter of the state's memory, "
            "which matters for whole weights. Prodigy and D-Adapt find the rate themselves: set the rates "
            "to 1. Any other optimizer of pytorch-optimizer or bitsandbytes may be named.",
            choices=OPTIMIZERS,
            open_choices=True,
            basic=True,
            kohya=names("optimizer_type optimizer use_8bit_adam use_lion_optimizer"),
            old=names("optimizer use_8bit_adam"),
        ),
    ] = "AdamW"
    weight_decay: Annotated[
        float,
        Option(
            "Weight Decay",
            "Pulls trained weights towards zero; 0.01 is usual, 0.1 keeps a LoRA small.",
            low=0,
            high=10,
            kohya=names("weight_decay"),
            old=names("adamw_weight_decay adam_weight_decay weight_decay"),
        ),
    ] = 0.01
    arguments: Annotated[
        dict[str, Any],
        Option(
            "Optimizer Arguments",
            "More of the optimizer's own arguments by name, such as betas = [0.9, 0.99] or eps = 1e-6. What "
            "is not named keeps the optimizer's default.",
            lines=3,
            kohya=names("optimizer_args"),
            old=names("adam_beta1 adam_beta2 adam_epsilon"),
        ),
    ] = msgspec.field(default_factory=dict)
    max_grad_norm: Annotated[
        float,
        Option(
            "Max Grad Norms",
            "Gradients longer than this are shortened, so that one odd picture cannot spoil the run; 1 "
            "is usual. 0: off.",
            low=0,
            high=1e6,
            kohya=names("max_grad_norm"),
            old=names("max_grad_norm"),
        ),
    ] = 1.0
