"""The one description of a run: every setting with its type, default and explanation."""

from __future__ import annotations

from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.class_pictures import ClassPictures
from lib_dreambooth.settings.sections.concept import Concept
from lib_dreambooth.settings.sections.draws import Draws
from lib_dreambooth.settings.sections.ema import Ema
from lib_dreambooth.settings.sections.length import Length
from lib_dreambooth.settings.sections.logging import Logging
from lib_dreambooth.settings.sections.loss import Loss
from lib_dreambooth.settings.sections.memory import Memory
from lib_dreambooth.settings.sections.metadata import Metadata
from lib_dreambooth.settings.sections.model import Model
from lib_dreambooth.settings.sections.network import Network
from lib_dreambooth.settings.sections.noise import Noise
from lib_dreambooth.settings.sections.optimizer import Optimizer
from lib_dreambooth.settings.sections.parts import Parts, TextEncoder1, TextEncoder2, Unet, WordsPart
from lib_dreambooth.settings.sections.pictures import Pictures
from lib_dreambooth.settings.sections.precision import Precision
from lib_dreambooth.settings.sections.previews import Previews
from lib_dreambooth.settings.sections.rates import Rates
from lib_dreambooth.settings.sections.saving import Saving
from lib_dreambooth.settings.sections.section import Section
from lib_dreambooth.settings.sections.validation import Validation
from lib_dreambooth.settings.sections.word import Word


class Run(Section, frozen=True, kw_only=True):
    """What a run is asked to do, complete. Made only through `settings.read` and `settings.replace`."""

    model: Model = Model()
    concepts: tuple[Concept, ...] = ()
    pictures: Pictures = Pictures()
    captions: Captions = Captions()
    class_pictures: ClassPictures = ClassPictures()
    network: Network = Network()
    parts: Parts = Parts()
    words: tuple[Word, ...] = ()
    optimizer: Optimizer = Optimizer()
    rates: Rates = Rates()
    ema: Ema = Ema()
    loss: Loss = Loss()
    noise: Noise = Noise()
    draws: Draws = Draws()
    precision: Precision = Precision()
    memory: Memory = Memory()
    length: Length = Length()
    saving: Saving = Saving()
    previews: Previews = Previews()
    validation: Validation = Validation()
    logging: Logging = Logging()
    metadata: Metadata = Metadata()


__all__ = [
    "Captions",
    "ClassPictures",
    "Concept",
    "Draws",
    "Ema",
    "Length",
    "Logging",
    "Loss",
    "Memory",
    "Metadata",
    "Model",
    "Network",
    "Noise",
    "Optimizer",
    "Parts",
    "Pictures",
    "Precision",
    "Previews",
    "Rates",
    "Run",
    "Saving",
    "Section",
    "TextEncoder1",
    "TextEncoder2",
    "Unet",
    "Validation",
    "Word",
    "WordsPart",
]
