"""Reads the folders of all concepts and gives one item for each picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.data.pictures.formats import USUAL_EXTENSIONS
from lib_dreambooth.data.pictures.opening import MAX_PIXELS
from lib_dreambooth.data.scanning import problems
from lib_dreambooth.data.scanning.facts import FileFacts, read_facts
from lib_dreambooth.data.scanning.index import Index, is_current, load_index, save_index
from lib_dreambooth.data.scanning.items import items_of, unique_ids
from lib_dreambooth.data.scanning.sources import Source, list_sources, mask_of
from lib_dreambooth.data.sources.folders import FoundFile, stem_and_ending
from lib_dreambooth.settings.schema import Run

Progress = Callable[[int, int], None]
# Hashing and reading leave the interpreter free; more threads only help on network drives.
THREADS = 4
# A stop is noticed between portions of this many files.
PORTION = 64


@dataclass(frozen=True)
class Scan:
    """What the concepts hold. `items` are training and class pictures, `validation` is only measured."""

    items: tuple[Item, ...]
    validation: tuple[Item, ...]
    findings: tuple[Finding, ...]


def scan(
    run: Run,
    index_path: Path | None = None,
    unpack_into: Path | None = None,
    progress: Progress = lambda done, total: None,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Scan:
    """Items of all concepts, sorted by concept and path. Raises `UserError` where there is nothing to train.

    `index_path` keeps what was learned for the next scan; zips are unpacked into `unpack_into`.
    `check_cancelled` raises to stop.
    """
    findings: list[Finding] = []
    sources = list_sources(run, findings, unpack_into)
    known = load_index(index_path)
    wanted = wanted_files(sources)
    learned = Index(read_all(wanted, known.facts, findings, progress, check_cancelled))
    items: list[tuple[str, Item]] = []
    for source in sources:
        items += [(source.role, item) for item in items_of(source, known, learned, findings)]
    if index_path is not None and learned != known:
        save_index(index_path, learned)
    findings += notes_on_files(sources, learned.facts)
    named = unique_ids([item for _, item in items])
    roles = [role for role, _ in items]
    result = Scan(
        tuple(item for role, item in zip(roles, named, strict=True) if role != "validation"),
        tuple(item for role, item in zip(roles, named, strict=True) if role == "validation"),
        tuple(findings),
    )
    refuse_empty(run, sources, result)
    return result


def wanted_files(sources: Sequence[Source]) -> dict[str, FoundFile]:
    """Pictures and their masks by path."""
    wanted: dict[str, FoundFile] = {}
    for source in sources:
        for subset in source.subsets:
            for file in subset.pictures:
                wanted[file.path] = file
                mask = mask_of(source, subset, file)
                if mask is not None:
                    wanted[mask.path] = mask
    return wanted


def read_all(
    wanted: dict[str, FoundFile],
    known: Mapping[str, FileFacts],
    findings: list[Finding],
    progress: Progress,
    check_cancelled: Callable[[], None],
) -> dict[str, FileFacts]:
    """Facts of all files; those whose size and time are known are not opened."""
    facts = {
        path: known[path]
        for path, file in wanted.items()
        if path in known and is_current(known[path], file.size, file.mtime_ns)
    }
    missing = iter([file for path, file in wanted.items() if path not in facts])
    done, total = len(facts), len(wanted)
    progress(done, total)
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        while portion := list(islice(missing, PORTION)):
            check_cancelled()
            for file, fact in zip(portion, pool.map(facts_or_finding, portion), strict=True):
                if isinstance(fact, FileFacts):
                    facts[file.path] = fact
                else:
                    findings.append(fact)
            done += len(portion)
            progress(done, total)
    return facts


def facts_or_finding(file: FoundFile) -> FileFacts | Finding:
    """A file's facts, or why there are none: the file may have gone since it was listed."""
    try:
        return read_facts(file.path, file.size, file.mtime_ns)
    except FileError as error:
        if error.code == "picture-gone":
            return problems.gone(file.path)
        return problems.unusable(file.path, error.what.removesuffix("."))


def notes_on_files(sources: Sequence[Source], facts: dict[str, FileFacts]) -> list[Finding]:
    """Remarks on pictures that are used all the same."""
    odd_names, found = [], []
    files = {f.path: f.name for source in sources for subset in source.subsets for f in subset.pictures}
    for path, name in files.items():
        fact = facts.get(path)
        if fact is None or fact.problem:
            continue
        if stem_and_ending(name)[1].lower() not in USUAL_EXTENSIONS[fact.picture_format]:
            odd_names.append(path)
        if fact.stored_size[0] * fact.stored_size[1] > MAX_PIXELS:
            found.append(problems.read_reduced(path, fact))
    return found + ([problems.mislabelled(odd_names)] if odd_names else [])


def refuse_empty(run: Run, sources: Sequence[Source], result: Scan) -> None:
    """Raises where a training concept has no picture, or there is no training concept."""
    if not any(source.role == "train" for source in sources):
        raise problems.nothing_to_train()
    trained = {item.concept for item in result.items if not item.is_class}
    for source in sources:
        if source.role == "train" and source.concept not in trained:
            own = {file.path for subset in source.subsets for file in subset.pictures}
            unusable = [found for found in result.findings if is_unusable(found) and found.paths[0] in own]
            if unusable:
                raise problems.none_readable(source.folder, unusable)
            if run.concepts[source.concept].metadata_file:
                raise problems.none_named(source.folder, run.concepts[source.concept].metadata_file)
            raise problems.no_pictures(source.folder, run.concepts[source.concept].subfolders)


def is_unusable(found: Finding) -> bool:
    """Whether a finding says that a picture is left out."""
    return found.severity == "error" and bool(found.paths)
