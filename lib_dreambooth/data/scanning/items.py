"""A listed picture with its facts, caption and mask as an item."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lib_dreambooth.data.buckets.cuts import parse_face_box
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.data.captions.read import read_captions
from lib_dreambooth.data.item import NO_CAPTION, CaptionText, Finding, Item, MaskKind
from lib_dreambooth.data.pictures.alpha import uses_alpha_as_mask
from lib_dreambooth.data.scanning import problems
from lib_dreambooth.data.scanning.facts import FileFacts
from lib_dreambooth.data.scanning.index import FolderCaptions, Index
from lib_dreambooth.data.scanning.sources import Source, mask_of
from lib_dreambooth.data.sources.folders import FoundFile, Subset, stem_and_ending


def items_of(source: Source, known: Index, learned: Index, findings: list[Finding]) -> list[Item]:
    """The source's usable pictures. Captions are from `known` where nothing changed."""
    facts = learned.facts
    items = []
    for subset in source.subsets:
        usable = []
        for file in subset.pictures:
            fact = facts.get(file.path)
            if fact is not None and fact.problem:
                findings.append(problems.unusable(file.path, fact.problem))
            elif fact is not None:
                usable.append(file)
        captions = captions_for(source, subset, [file.path for file in usable], known, learned, findings)
        for file, caption in zip(usable, captions, strict=True):
            item = make_item(source, subset, file, caption, facts, findings)
            if item is not None:
                items.append(item)
    return items


def captions_for(
    source: Source,
    subset: Subset,
    paths: Sequence[str],
    known: Index,
    learned: Index,
    findings: list[Finding],
) -> list[CaptionText]:
    """A caption for each path: from metadata or beside the picture, else what stands in for it."""
    if source.texts is not None:
        return [source.texts[path] for path in paths]
    settings = source.captions
    names = [path.rpartition(os.sep)[2] for path in paths]
    key = digest(subset.others, names, settings.files, settings.file_name, settings.separator)
    found = known.captions.get(subset.folder)
    if found is None or found.key != key or not all(path in found.captions for path in paths):
        captions, problems_found = read_captions(
            paths, settings.files, settings.file_name, settings.separator
        )
        texts = dict(zip(paths, captions, strict=True))
        found = FolderCaptions(key, texts, tuple(problems_found))
    learned.captions[subset.folder] = found
    findings += found.findings
    instead = stand_in(source, subset)
    captions = [found.captions[path] for path in paths]
    return [instead if caption.origin == "none" else caption for caption in captions]


def stand_in(source: Source, subset: Subset) -> CaptionText:
    """What describes pictures without a caption: the concept's own words, else the name of their folder."""
    if source.fallback:
        return CaptionText(source.fallback, "setting")
    return CaptionText(subset.name, "folder", subset.folder) if subset.name else NO_CAPTION


def make_item(
    source: Source,
    subset: Subset,
    file: FoundFile,
    caption: CaptionText,
    facts: Mapping[str, FileFacts],
    findings: list[Finding],
) -> Item | None:
    """One picture's item; None where its mask cannot be read."""
    path, fact = file.path, facts[file.path]
    upright = source.pictures.exif_rotation
    size = fact.shown_size(upright)
    mask = mask_of(source, subset, file)
    mask_fact = facts.get(mask.path) if mask is not None else None
    if mask is not None:
        problem = "is gone" if mask_fact is None else mask_fact.problem
        if mask_fact is None or problem:
            findings.append(problems.mask_unusable(path, mask.path, problem))
            return None
        if not same_shape(mask_fact.shown_size(upright), size):
            findings.append(problems.mask_of_other_shape(path, mask.path))
    by_alpha = fact.has_alpha and uses_alpha_as_mask(source.pictures.alpha)  # type: ignore[arg-type]
    return Item(
        id=fact.content,
        content=fact.content,
        path=path,
        caption=caption,
        concept=source.concept,
        is_class=source.role == "class",
        repeats=subset.repeats * source.repeats,
        size=size,
        mask_kind=kind_of_mask(mask is not None, by_alpha),
        mask_path=mask.path if mask is not None else "",
        mask_content=mask_fact.content if mask_fact is not None else "",
        has_alpha=fact.has_alpha,
        face=parse_face_box(stem_and_ending(file.name)[0], size),
    )


def kind_of_mask(by_file: bool, by_alpha: bool) -> MaskKind:
    """What a picture's mask is made of."""
    if by_file and by_alpha:
        return "both"
    return "file" if by_file else "alpha" if by_alpha else "none"


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """True where width by height agree to within a pixel or two of rounding."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= 2 * max(*one, *other)


def unique_ids(items: Sequence[Item]) -> list[Item]:
    """The same items, the second and later copies of a picture with `-2`, `-3` behind their id."""
    seen: dict[str, int] = {}
    named = []
    for item in items:
        seen[item.content] = seen.get(item.content, 0) + 1
        copy = seen[item.content]
        named.append(item if copy == 1 else replace(item, id=f"{item.content}-{copy}"))
    return named
