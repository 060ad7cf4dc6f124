"""What a file turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET, VAE, Layout, Place
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout

FAMILIES = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "SDXL",
    "sdxl-refiner": "the SDXL refiner",
}
ROLES = {
    "checkpoint": "a checkpoint",
    "unet": "a UNet alone",
    "vae": "a VAE",
    "text-encoder": "a text encoder",
    "adapter": "a LoRA",
    "embedding": "an embedding",
    "state": "a training state",
}
# The parts that a checkpoint of each family needs.
NEEDED: dict[str, tuple[str, ...]] = {
    "sd1": (UNET, VAE, TEXT),
    "sd2": (UNET, VAE, TEXT),
    "sdxl": (UNET, VAE, TEXT, TEXT_2),
    "sdxl-refiner": (UNET, VAE, TEXT_2),
}
PART_TITLES = {UNET: "the UNet", VAE: "the VAE", TEXT: "the text encoder", TEXT_2: "the second text encoder"}


@dataclass(frozen=True)
class Part:
    """One part of a model as it lies in the file; keys with the file's prefix."""

    place: Place
    num_keys: int
    layout: Layout | None  # None: so damaged that its form cannot be seen
    missing: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return self.layout is not None and not self.missing and not self.misshapen

    def damage(self) -> str:
        """What is wrong, in words; empty for a whole part."""
        if self.layout is None:
            return "its form cannot be seen"
        if self.missing:
            return f"{len(self.missing)} tensors are missing, such as `{self.missing[0]}`"
        if self.misshapen:
            return f"{len(self.misshapen)} tensors have another shape, such as `{self.misshapen[0]}`"
        return ""


@dataclass(frozen=True)
class FileKind:
    """What a file is, from its keys, shapes and metadata alone."""

    role: str  # a key of ROLES
    family: str = ""  # a key of FAMILIES; empty where the file does not say
    variant: str = ""  # "inpainting" (9 channels in), "instruct" (8), or empty
    layout: str = "ldm"  # "ldm": names of the single file; "diffusers": a folder's or a part's names
    prediction: str = ""  # "epsilon", "v", "sample" or "edm"; empty where only trying it out can tell (SD2)
    prediction_source: str = ""  # "marker", "metadata", "yaml" or "family"
    is_zero_terminal: bool = False
    has_ema: bool = False
    parts: Mapping[str, Part] = field(default_factory=dict)
    adapter_kinds: tuple[str, ...] = ()
    num_tensors: int = 0
    num_extras: int = 0  # tensors that belong to no part
    dtypes: Mapping[str, int] = field(default_factory=dict)  # how many tensors of each type

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """Parts that a checkpoint of this family needs and that are not there."""
        return tuple(part for part in NEEDED.get(self.family, ()) if part not in self.parts)

    @property
    def damaged_parts(self) -> tuple[str, ...]:
        return tuple(name for name, part in self.parts.items() if not part.is_whole)

    @property
    def unet(self) -> UNetLayout | None:
        part = self.parts.get(UNET)
        return part.layout if part and isinstance(part.layout, UNetLayout) else None

    @property
    def vae(self) -> VaeLayout | None:
        part = self.parts.get(VAE)
        return part.layout if part and isinstance(part.layout, VaeLayout) else None

    def text_encoder(self, name: str = TEXT) -> ClipLayout | None:
        part = self.parts.get(name)
        return part.layout if part and isinstance(part.layout, ClipLayout) else None

    @property
    def precision(self) -> str:
        """The type of most tensors that hold fractions, such as "F16"."""
        floats = {name: count for name, count in self.dtypes.items() if name[0] in "FB" and name != "BOOL"}
        return max(floats, key=lambda name: floats[name], default="")

    def title(self) -> str:
        """In words, such as "a checkpoint of SDXL (inpainting)"."""
        words = ROLES.get(self.role, self.role)
        if self.adapter_kinds and self.adapter_kinds != ("lora",):
            words = f"a LyCORIS file ({', '.join(self.adapter_kinds)})"
        if self.family:
            words += (
                f" of {FAMILIES[self.family]}" if self.role != "adapter" else f" for {FAMILIES[self.family]}"
            )
        return f"{words} ({self.variant})" if self.variant else words


def activation_of(family: str, part: str) -> str:
    """The activation inside a text encoder: OpenAI's CLIP-L has another one than the OpenCLIP encoders."""
    return "gelu" if part == TEXT_2 or family == "sd2" else "quick_gelu"
