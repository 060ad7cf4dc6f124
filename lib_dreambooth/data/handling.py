"""What a concept's settings mean for its pictures: how they are treated, cut and captioned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lib_dreambooth.data.buckets.cuts import (
    Cut,
    CutSettings,
    cut_for,
    is_endless,
    numbered_cut,
    possible_cuts,
)
from lib_dreambooth.data.buckets.sizes import BucketSettings, Pixels, bucket_of, bucket_sizes
from lib_dreambooth.data.captions.templates import NO_WORDS, Wording, templates_of, wording_of
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.alpha import parse_colour
from lib_dreambooth.data.pictures.rendering import Treatment
from lib_dreambooth.settings.meaning import captions_of, pictures_of
from lib_dreambooth.settings.schema import Captions, Concept, Pictures, Run


@dataclass(frozen=True)
class Handling:
    """One concept with the settings that hold for it, overrides applied."""

    concept: Concept
    pictures: Pictures
    captions: Captions
    seed: int
    wording: Wording = NO_WORDS

    @cached_property
    def treatment(self) -> Treatment:
        """What is done to pixels."""
        pictures = self.pictures
        colour = parse_colour(pictures.background) if pictures.alpha in ("composite", "both") else (0, 0, 0)
        return Treatment(pictures.alpha, colour, pictures.filter, pictures.exif_rotation)  # type: ignore[arg-type]

    @cached_property
    def cutting(self) -> CutSettings:
        """How crops are chosen."""
        pictures = self.pictures
        zoom = pictures.face_zoom_min, pictures.face_zoom_max
        # A picture whose colours are changed anew each visit is not cached, so its crops need no limit.
        crops = pictures.crops_per_picture if pictures.colour_change == "off" else 0
        return CutSettings(pictures.crop, crops, zoom, pictures.flip)  # type: ignore[arg-type]

    @cached_property
    def bucketing(self) -> BucketSettings:
        """How buckets are chosen."""
        pictures = self.pictures
        resolution = pictures.resolution
        assert not resolution.is_auto, "the resolution follows from the model family before pictures are read"
        return BucketSettings(
            (resolution.width, resolution.height),
            pictures.buckets,
            pictures.bucket_min,
            pictures.bucket_max,
            pictures.bucket_step,
            pictures.upscale,
            pictures.bucket_rule,  # type: ignore[arg-type]
        )

    @cached_property
    def sizes(self) -> list[Pixels]:
        """The buckets there are."""
        return bucket_sizes(self.bucketing)

    def bucket(self, item: Item) -> Pixels:
        """The bucket that an item belongs to by its shape."""
        return bucket_of(item.size, self.bucketing, self.sizes)

    def cut(self, item: Item, size: Pixels, visit: int) -> Cut:
        """The cut of one visit."""
        return cut_for(item, size, visit, self.cutting, self.seed)

    def cuts(self, item: Item, size: Pixels) -> tuple[Cut, ...]:
        """Every cut that can occur; empty where there is no end to them."""
        return possible_cuts(item, size, self.cutting, self.seed)

    def cut_to_show(self, item: Item, size: Pixels) -> Cut:
        """One cut that stands for all: the first, as it is and not mirrored."""
        return numbered_cut(item, size, 0, False, self.cutting, self.seed)

    def can_cache(self, item: Item) -> bool:
        """True where an item's latents can be encoded before training."""
        return self.pictures.colour_change == "off" and not is_endless(self.cutting, item)


def handlings(run: Run) -> tuple[Handling, ...]:
    """One for each concept, in their order. Raises UserError for templates of words that cannot be used."""
    templates = templates_of(run)
    return tuple(
        Handling(
            concept,
            pictures_of(run, concept),
            captions_of(run, concept),
            run.draws.seed,
            wording_of(run, concept, templates),
        )
        for concept in run.concepts
    )
