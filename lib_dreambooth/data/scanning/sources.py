"""The folders that the concepts name, listed, with their captions' and masks' places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib_dreambooth.data.item import CaptionText, Finding
from lib_dreambooth.data.scanning import problems
from lib_dreambooth.data.sources.folders import FoundFile, Subset, list_folder
from lib_dreambooth.data.sources.masks import mask_beside, mask_by_name
from lib_dreambooth.data.sources.metadata import match_pictures, read_metadata
from lib_dreambooth.data.sources.pasted import clean_path
from lib_dreambooth.data.sources.taking_in import unpack_zip
from lib_dreambooth.settings.meaning import captions_of, pictures_of
from lib_dreambooth.settings.schema import Captions, Concept, Pictures, Run


@dataclass
class Source:
    """One folder of one concept, listed."""

    concept: int
    role: str
    folder: Path
    pictures: Pictures
    captions: Captions
    subsets: list[Subset]
    repeats: int
    # Stands in for captions that are missing; of the concept's own pictures, not of its class pictures.
    fallback: str = ""
    texts: dict[str, CaptionText] | None = None
    mask_files: dict[str, FoundFile] = field(default_factory=dict)


def list_sources(run: Run, findings: list[Finding], unpack_into: Path | None = None) -> list[Source]:
    """Every folder that the concepts name, listed; `FileError` where one cannot be.

    A zip may stand in place of a folder where there is a place to unpack it into.
    """
    sources = []
    for number, concept in enumerate(run.concepts):
        pictures, captions = pictures_of(run, concept), captions_of(run, concept)
        class_folder = (
            clean_path(concept.class_folder, f"concepts.{number}.class_folder")
            if concept.class_folder and concept.role == "train" and run.class_pictures.relation != "off"
            else None
        )
        if concept.role == "class" and run.class_pictures.relation == "off":
            continue
        folder = unpacked(folder_of(concept, number), unpack_into, findings)
        leave_out = [path for path in (class_folder, mask_folder_of(concept)) if path is not None]
        listing = list_folder(folder, concept.subfolders, leave_out, str(folder))  # type: ignore[arg-type]
        findings += listing.findings
        source = Source(
            number,
            concept.role,
            folder,
            pictures,
            captions,
            listing.subsets,
            concept.repeats,
            concept.fallback.strip(),
        )
        if concept.metadata_file:
            take_captions_from_metadata(source, concept, findings)
        take_mask_folder(source, concept, findings)
        sources.append(source)
        if class_folder is not None:
            classes = list_folder(class_folder, "auto", [folder])
            findings += classes.findings
            sources.append(Source(number, "class", class_folder, pictures, captions, classes.subsets, 1))
    findings += [
        problems.same_folder_twice(folder)
        for folder in repeated([str(s.folder) for s in sources if s.role == "train"])
    ]
    return sources


def folder_of(concept: Concept, number: int) -> Path:
    """The concept's folder; that of its metadata file where it names none."""
    if not concept.folder and concept.metadata_file:
        return clean_path(concept.metadata_file, f"concepts.{number}.metadata_file").parent
    return clean_path(concept.folder, f"concepts.{number}.folder")


def unpacked(folder: Path, into: Path | None, findings: list[Finding]) -> Path:
    """The folder itself, or what a zip unpacks to."""
    if into is None or folder.suffix.lower() != ".zip" or not folder.is_file():
        return folder
    inside, found = unpack_zip(folder, into)
    findings += found
    return inside


def mask_folder_of(concept: Concept) -> Path | None:
    """The concept's mask folder, None where it names none."""
    return clean_path(concept.mask_folder, "mask folder") if concept.mask_folder else None


def take_captions_from_metadata(source: Source, concept: Concept, findings: list[Finding]) -> None:
    """Keeps the pictures that the concept's metadata file names, with its captions."""
    path = clean_path(concept.metadata_file, "metadata file")
    metadata = read_metadata(path, source.captions.separator)
    there = [file for subset in source.subsets for file in subset.pictures]
    source.texts, found = match_pictures(metadata, source.folder, there, path)
    findings += found
    for subset in source.subsets:
        subset.pictures = [file for file in subset.pictures if file.path in source.texts]


def take_mask_folder(source: Source, concept: Concept, findings: list[Finding]) -> None:
    """Lists the concept's mask folder."""
    folder = mask_folder_of(concept)
    if folder is None or not source.pictures.masks:
        return
    listing = list_folder(folder, "plain")
    findings += listing.findings
    for subset in listing.subsets:
        source.mask_files |= {file.name: file for file in subset.pictures} | subset.masks


def mask_of(source: Source, subset: Subset, picture: FoundFile) -> FoundFile | None:
    """The mask file of a picture, where masks are used."""
    if not source.pictures.masks:
        return None
    return mask_by_name(picture, source.mask_files) or mask_beside(picture, subset.masks)


def repeated(names: Sequence[str]) -> list[str]:
    """Names that occur more than once."""
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
