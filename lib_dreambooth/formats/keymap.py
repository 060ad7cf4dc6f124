"""Where a part of a model lies in a file, and the links from its tensors to ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lib_dreambooth.formats.clip_keys import ClipLayout, clip_config, hf_links, open_clip_links
from lib_dreambooth.formats.links import Link, Shapes, own_links
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.formats.unet_layout import UNetLayout, unet_config
from lib_dreambooth.formats.vae_keys import VaeLayout, current_vae_name, vae_config, vae_links

UNET, VAE, TEXT, TEXT_2 = "unet", "vae", "text_encoder", "text_encoder_2"
PARTS = (UNET, VAE, TEXT, TEXT_2)

# Namings: "ldm" and "open_clip" are the original ones, "own" is diffusers' and Hugging Face's, "bare" is
# Hugging Face's without `text_model.`, as checkpoints of 2022 have it.
LDM, OWN, BARE, OPEN_CLIP = "ldm", "own", "bare", "open_clip"

Layout = UNetLayout | VaeLayout | ClipLayout


@dataclass(frozen=True)
class Place:
    """A prefix under which a part lies; `starts` tell after it that the part is there."""

    part: str
    prefix: str
    naming: str
    starts: tuple[str, ...]


_LDM_UNET = ("input_blocks.", "middle_block.", "output_blocks.")
_OWN_UNET = ("down_blocks.", "mid_block.", "up_blocks.")
_LDM_VAE = ("encoder.down.", "encoder.mid.", "decoder.up.", "decoder.mid.")
_OWN_VAE = ("encoder.down_blocks.", "encoder.mid_block.", "decoder.up_blocks.", "decoder.mid_block.")
_HF_TEXT = ("text_model.encoder.", "text_model.embeddings.token", "text_model.final_layer_norm.")
_BARE_TEXT = ("encoder.layers.", "embeddings.token", "final_layer_norm.")
_OPEN_TEXT = ("transformer.resblocks.", "token_embedding.", "ln_final.")

# In the order in which they are looked for; the first place of a part counts.
PLACES = (
    Place(UNET, "model.diffusion_model.", LDM, _LDM_UNET),
    Place(UNET, "unet/", OWN, _OWN_UNET),
    Place(VAE, "first_stage_model.", LDM, _LDM_VAE),
    Place(VAE, "vae/", OWN, _OWN_VAE),
    Place(TEXT, "cond_stage_model.transformer.", OWN, _HF_TEXT),
    Place(TEXT, "cond_stage_model.transformer.", BARE, _BARE_TEXT),
    Place(TEXT, "cond_stage_model.model.", OPEN_CLIP, _OPEN_TEXT),
    Place(TEXT, "conditioner.embedders.0.transformer.", OWN, _HF_TEXT),
    Place(TEXT, "text_encoder/", OWN, _HF_TEXT),
    Place(TEXT, "text_encoder/", BARE, _BARE_TEXT),
    Place(TEXT_2, "conditioner.embedders.1.model.", OPEN_CLIP, _OPEN_TEXT),
    Place(TEXT_2, "conditioner.embedders.0.model.", OPEN_CLIP, _OPEN_TEXT),
    Place(TEXT_2, "text_encoder_2/", OWN, _HF_TEXT),
)
# Files of one part; looked for only when none of the above is there.
SINGLE_PLACES = (
    Place(UNET, "diffusion_model.", LDM, _LDM_UNET),
    Place(UNET, "unet.", OWN, _OWN_UNET),
    Place(UNET, "", LDM, _LDM_UNET),
    Place(UNET, "", OWN, _OWN_UNET),
    Place(VAE, "vae.", LDM, _LDM_VAE),
    Place(VAE, "vae.", OWN, _OWN_VAE),
    Place(VAE, "", LDM, _LDM_VAE),
    Place(VAE, "", OWN, _OWN_VAE),
    Place(TEXT, "text_encoder.", OWN, _HF_TEXT),
    Place(TEXT, "transformer.", OWN, _HF_TEXT),
    Place(TEXT, "", OWN, _HF_TEXT),
    Place(TEXT, "model.", OPEN_CLIP, _OPEN_TEXT),
    Place(TEXT, "", OPEN_CLIP, _OPEN_TEXT),
)


def find_places(keys: Iterable[str]) -> dict[str, Place]:
    """Each part that is there, with its place."""
    known = list(keys)
    return _find(known, PLACES) or _find(known, SINGLE_PLACES)


def shapes_at(place: Place, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The part's shapes without the prefix; in a naming of ours with today's names."""
    cut = len(place.prefix)
    found = {key[cut:]: shape for key, shape in shapes.items() if key.startswith(place.prefix)}
    if place.naming == BARE:
        return {f"text_model.{key}": shape for key, shape in found.items()}
    if place.part == VAE and place.naming == OWN:
        return {current_vae_name(key): shape for key, shape in found.items()}
    return found


def layout_at(place: Place, shapes: Shapes) -> Layout:
    """The part's layout. Raises LayoutError."""
    found = shapes_at(place, shapes)
    if place.part == UNET:
        return unet_config(found)
    if place.part == VAE:
        return vae_config(found)
    layout = clip_config(found)
    # Only SDXL's second encoder is used with its projection.
    return layout if place.part == TEXT_2 else replace(layout, projection_width=0)


def links_at(place: Place, layout: Layout, keys: Iterable[str] = ()) -> Sequence[Link]:
    """The part's links, keys with prefix; `keys` of the file tell apart older spellings."""
    links = _links_at(place, layout)
    if place.part != VAE or place.naming != OWN:
        return links
    cut = len(place.prefix)
    spelled = {
        place.prefix + current_vae_name(key[cut:]): key for key in keys if key.startswith(place.prefix)
    }
    return [replace(link, key=spelled.get(link.key, link.key)) for link in links] if spelled else links


# A base is looked at several times on the way to a run, and has thousands of links.
@lru_cache(maxsize=16)
def _links_at(place: Place, layout: Layout) -> tuple[Link, ...]:
    links = _links(place, layout)
    if place.naming == BARE:
        links = [replace(link, key=link.key.removeprefix("text_model.")) for link in links]
    return tuple(link.with_prefix(place.prefix) for link in links)


def ema_key(link: Link, prefix: str) -> str:
    """The averaged twin of a UNet's tensor: trainers of 2022 wrote its name without dots."""
    return "model_ema." + f"diffusion_model.{link.key.removeprefix(prefix)}".replace(".", "")


def _links(place: Place, layout: Layout) -> list[Link]:
    if isinstance(layout, UNetLayout):
        links = unet_links(layout)
    elif isinstance(layout, VaeLayout):
        links = vae_links(layout)
    else:
        return open_clip_links(layout) if place.naming == OPEN_CLIP else hf_links(layout)
    return list(own_links(links)) if place.naming == OWN else links


def _find(keys: list[str], places: tuple[Place, ...]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for place in places:
        if place.part in found:
            continue
        starts = tuple(place.prefix + start for start in place.starts)
        if any(key.startswith(starts) for key in keys):
            found[place.part] = place
    return found
