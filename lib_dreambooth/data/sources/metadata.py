"""kohya's metadata files: one JSON or JSONL that names pictures and holds their captions and tags."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.captions.decode import decode
from lib_dreambooth.data.captions.records import NotACaption, caption_from_record
from lib_dreambooth.data.item import NO_CAPTION, CaptionText, Finding
from lib_dreambooth.data.pictures.formats import EXTENSIONS
from lib_dreambooth.data.sources.folders import FoundFile

# Half a million pictures with long captions; more is no metadata file.
MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Metadata:
    """Captions by the picture's name as the file writes it."""

    captions: dict[str, CaptionText]
    findings: list[Finding]


def read_metadata(path: Path, separator: str = ",") -> Metadata:
    """Reads `.json` (an object by picture) or `.jsonl` (an object a line); `FileError` for anything else."""
    text = decode(_bytes(path)).text
    captions: dict[str, CaptionText] = {}
    findings: list[Finding] = []
    is_lines = path.suffix.lower() == ".jsonl"
    for key, record in _lines(text, path) if is_lines else _entries(text, path):
        if not isinstance(key, str) or not key or "\0" in key:
            findings.append(_wrong(path, str(key), "names no picture"))
            continue
        try:
            captions[key] = CaptionText(caption_from_record(record, separator), "metadata", str(path))
        except NotACaption as error:
            captions[key] = NO_CAPTION
            if not (isinstance(record, Mapping) and set(record) <= {"image_path", "image_size"}):
                findings.append(_wrong(path, key, str(error)))
    return Metadata(captions, findings)


def match_pictures(
    metadata: Metadata, folder: Path | None, pictures: list[FoundFile], metadata_path: Path
) -> tuple[dict[str, CaptionText], list[Finding]]:
    """Captions by the path of a picture that is there: by full path, path inside `folder`, or bare name."""
    by_path = {_norm(file.path): file.path for file in pictures}
    by_stem: dict[str, list[str]] = {}
    for file in pictures:
        by_stem.setdefault(_norm(str(Path(file.path).with_suffix(""))), []).append(file.path)
        by_stem.setdefault(Path(file.path).stem, []).append(file.path)
    found: dict[str, CaptionText] = {}
    missing = []
    for key, caption in metadata.captions.items():
        picture = _find(key, folder, by_path, by_stem)
        if picture is None:
            missing.append(key)
        else:
            found[picture] = caption
    findings = list(metadata.findings)
    if missing:
        findings.append(_missing(metadata_path, missing))
    left_out = len(pictures) - len(found)
    if left_out:
        findings.append(_unnamed(metadata_path, left_out))
    return found, findings


def _find(
    key: str, folder: Path | None, by_path: Mapping[str, str], by_stem: Mapping[str, list[str]]
) -> str | None:
    places = [_norm(key)] + ([_norm(str(folder / key))] if folder is not None else [])
    for place in places:
        if place in by_path:
            return by_path[place]
    bare = Path(key)
    for stem in (*places, bare.stem if bare.suffix.lower() in EXTENSIONS else bare.name):
        # A bare name that two folders have would be a guess.
        if len(by_stem.get(stem, ())) == 1:
            return by_stem[stem][0]
    return None


def _norm(path: str) -> str:
    return path.replace("\\", "/")


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(
                "is too large for a metadata file.", where=str(path), todo="Check that it is one."
            )
        return path.read_bytes()
    except OSError as error:
        raise FileError(
            f"this metadata file cannot be read ({error.strerror or type(error).__name__}).",
            where=str(path),
            todo="Check the path, or leave the metadata file empty to use caption files.",
            code="metadata-unreadable",
        ) from error


def _entries(text: str, path: Path) -> Iterator[tuple[Any, Any]]:
    value = _parse(text, path, "")
    if not isinstance(value, Mapping):
        raise not_metadata(path, "it is not an object with one entry per picture")
    yield from value.items()


def _lines(text: str, path: Path) -> Iterator[tuple[Any, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            record = _parse(line, path, f" in line {number}")
            if not isinstance(record, Mapping):
                raise not_metadata(path, f"line {number} is not an object")
            yield record.get("image_path"), record


def _parse(text: str, path: Path, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise not_metadata(path, f"it is not valid JSON{place} ({type(error).__name__})") from error


def not_metadata(path: Path, why: str) -> FileError:
    """The sentence for a metadata file of another form."""
    return FileError(
        f"is not a metadata file: {why}.",
        where=str(path),
        todo="It should map picture names to objects with caption or tags.",
        code="metadata-form",
    )


def _wrong(path: Path, key: str, why: str) -> Finding:
    return Finding(
        "metadata-entry",
        "warning",
        (str(path),),
        f"The entry `{key[:80]}` holds no caption: {why}.",
        "Its picture is trained without a caption.",
        "Correct the entry, or write the file anew with the tool that made it.",
    )


def _missing(path: Path, names: list[str]) -> Finding:
    return Finding(
        "metadata-pictures-missing",
        "warning",
        (str(path),),
        f"{len(names)} entries name pictures that are not in the folder, the first is `{names[0][:80]}`.",
        "They are not trained on.",
        "Check that the folder is the one the file was made for.",
    )


def _unnamed(path: Path, count: int) -> Finding:
    return Finding(
        "pictures-not-in-metadata",
        "warning",
        (str(path),),
        f"{count} pictures of the folder are not named in the metadata file.",
        "They are not trained on, as with kohya's scripts.",
        "Add them to the file, or leave the metadata file empty to use caption files.",
    )
