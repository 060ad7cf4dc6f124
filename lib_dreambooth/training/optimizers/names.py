"""The optimizers there are, by the name a user gives: ours first, then all of two libraries that can be used.

Every name accepted here has been shown to go on from its state bit for bit; the rest are refused with the
reason. A name that a newer library brings is in neither table and is refused until it has been shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for tables of names."""
    return tuple(text.split())


TORCH, PYTORCH_OPTIMIZER, BITSANDBYTES = "torch", "pytorch_optimizer", "bitsandbytes"


@dataclass(frozen=True)
class Known:
    """An optimizer and where it comes from.

    `defaults` are arguments that differ from the library's own; `finds_rate`: its rate is a factor on one
    that it estimates itself; `apart`: it may move each weight on its own, with the same result.
    """

    name: str
    library: str
    class_name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    finds_rate: bool = False
    apart: bool = False

    @property
    def is_paged(self) -> bool:
        """Whether the driver takes what it remembers off the card where there is no room."""
        return self.library == BITSANDBYTES and self.class_name.startswith("Paged")


# Kron multiplies its matrices pairwise; the largest as a diagonal, or a layer of 1280 would want gigabytes.
SMALL = {"memory_save_mode": "one_diag"}
DECOUPLED = {"weight_decouple": True}
MOMENTUM = {"momentum": 0.9}
# The rate is the one of the settings; left alone, Adafactor takes one of its own, scaled by the weights.
GIVEN_RATE = {"relative_step": False, "scale_parameter": False}
# As in other trainers: its point is to remember little. `betas` among the arguments brings momentum.
NO_MOMENTUM = {"betas": (None, 0.999)}

MAIN = (
    Known("AdamW", TORCH, "AdamW", apart=True),
    Known("AdamW8bit", BITSANDBYTES, "AdamW8bit", apart=True),
    Known("PagedAdamW8bit", BITSANDBYTES, "PagedAdamW8bit", apart=True),
    Known("AdamMini", PYTORCH_OPTIMIZER, "AdamMini", apart=True),
    Known("Lion", PYTORCH_OPTIMIZER, "Lion", apart=True),
    Known("Lion8bit", BITSANDBYTES, "Lion8bit", apart=True),
    Known("PagedLion8bit", BITSANDBYTES, "PagedLion8bit", apart=True),
    Known("AdaFactor", PYTORCH_OPTIMIZER, "AdaFactor", {**GIVEN_RATE, **NO_MOMENTUM}, apart=True),
    Known("CAME", PYTORCH_OPTIMIZER, "CAME", apart=True),
    Known("Prodigy", PYTORCH_OPTIMIZER, "Prodigy", finds_rate=True),
    Known("DAdaptAdam", PYTORCH_OPTIMIZER, "DAdaptAdam", DECOUPLED, finds_rate=True),
    Known("DAdaptAdaGrad", PYTORCH_OPTIMIZER, "DAdaptAdaGrad", DECOUPLED, finds_rate=True),
    Known("DAdaptAdan", PYTORCH_OPTIMIZER, "DAdaptAdan", DECOUPLED, finds_rate=True),
    Known("DAdaptLion", PYTORCH_OPTIMIZER, "DAdaptLion", DECOUPLED, finds_rate=True),
    Known("DAdaptSGD", PYTORCH_OPTIMIZER, "DAdaptSGD", DECOUPLED, finds_rate=True),
    Known("AdamWScheduleFree", PYTORCH_OPTIMIZER, "ScheduleFreeAdamW", apart=True),
    Known("RAdamScheduleFree", PYTORCH_OPTIMIZER, "ScheduleFreeRAdam", apart=True),
    Known("SGDScheduleFree", PYTORCH_OPTIMIZER, "ScheduleFreeSGD", apart=True),
    Known("SGD", TORCH, "SGD", apart=True),
)

OF_PYTORCH_OPTIMIZER = words("""
    A2Grad ADOPT APOLLO ASGD AccSGD AdEMAMix AdaBelief AdaBound AdaDelta AdaGC AdaGO AdaMax AdaMod
    AdaMuon AdaNorm AdaPNM AdaShift AdaSmooth AdaTAM Adai Adalite Adam AdamC AdamG AdamP AdamS
    AdamWSN Adan AggMo Aida Alice BCOS Amos Ano ApolloDQN AvaGrad DASH DiffGrad DualAdam EXAdam
    EmoFact EmoLynx EmoNavi FAdam FOCUS FTRL Fira FlashAdamW Fromage GaLore Grams Gravity
    GrokFastAdamW Kate Kron LARS LaProp Lamb MADGRAD MARS MSVAG Muon MuonClip NAdam Nero NorMuon
    NovoGrad PAdam PID PNM QHAdam QHM RACS RAdam RMSprop ROSE Ranger Ranger21 SCION SCIONLight SGDP
    SGDSaI SGDW SM3 SOAP SPlus SRMM SWATS SaRA ScheduleFreeAdamW ScheduleFreeRAdam
    ScheduleFreeSGD Shampoo SignSGD SimplifiedAdEMAMix SpectralSphere StableAdamW StableSPAM TAM
    Tiger VSGD Yogi
""")
OF_BITSANDBYTES = words("""
    AdEMAMix8bit Adagrad8bit Adagrad32bit Adam8bit Adam32bit AdamW32bit LAMB8bit LAMB32bit LARS8bit
    LARS32bit Lion32bit PagedAdEMAMix PagedAdEMAMix8bit PagedAdam PagedAdam8bit PagedAdam32bit
    PagedAdamW PagedAdamW32bit PagedLion PagedLion32bit PytorchLARS RMSprop8bit RMSprop32bit SGD8bit
    SGD32bit
""")
NEEDS_MOMENTUM = ("LARS8bit", "LARS32bit", "PytorchLARS", "SGD8bit", "SGD32bit")

CLOSURE = "wants to compute the loss several times in one step"
GRAPH = "wants second derivatives, which training does not compute"
WRAPPER = "is a wrapper around another optimizer and not one itself"
MODEL = "takes over the backward pass of the whole model"
OBJECTS = "keeps a part of its memory in a form that cannot be saved exactly"
SEVERAL_CARDS = "works only on several cards at once"
REFUSED = {
    "LBFGS": CLOSURE,
    "AliG": CLOSURE,
    "SAM": CLOSURE,
    "GSAM": CLOSURE,
    "WSAM": CLOSURE,
    "BSAM": CLOSURE,
    "LookSAM": CLOSURE,
    "FriendlySAM": CLOSURE,
    "AdaHessian": GRAPH,
    "SophiaH": GRAPH,
    "LOMO": MODEL,
    "AdaLOMO": MODEL,
    "Lookahead": WRAPPER,
    "OrthoGrad": WRAPPER,
    "PCGrad": WRAPPER,
    "RotoGrad": WRAPPER,
    "TRAC": WRAPPER,
    "Magma": WRAPPER,
    "ScheduleFreeWrapper": WRAPPER,
    "SafeFP16Optimizer": WRAPPER,
    "Conda": OBJECTS,
    "ScalableShampoo": OBJECTS,
    "SPAM": OBJECTS,
    "DeMo": SEVERAL_CARDS,
    "DistributedMuon": SEVERAL_CARDS,
    "LoRARite": "wants the two matrices of a network in pairs",
    "AdEMAMix32bit": "does not work on every device in the library that has it; AdEMAMix does",
    "PagedAdEMAMix32bit": "does not work on every device in the library that has it; AdEMAMix does",
}


def table() -> dict[str, Known]:
    """Every accepted optimizer by its name in small letters."""
    found = {
        name.lower(): Known(name, PYTORCH_OPTIMIZER, name, SMALL if name == "Kron" else {})
        for name in OF_PYTORCH_OPTIMIZER
    }
    for name in OF_BITSANDBYTES:
        defaults = MOMENTUM if name in NEEDS_MOMENTUM else {}
        found[name.lower()] = Known(name, BITSANDBYTES, name, defaults, apart=True)
    return found | {known.name.lower(): known for known in MAIN}
