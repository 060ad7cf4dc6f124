"""What is to be known about the names of new words before a run starts: who has them already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from lib_dreambooth.adapters.word_starts import left_out
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.base.host import Host
from lib_dreambooth.data.item import Finding
from lib_dreambooth.models.tokenizer import clip_tokenizer
from lib_dreambooth.settings.deciding import leaves_words_open
from lib_dreambooth.settings.meaning import made
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import DECIDED, Sourced
from lib_dreambooth.training.export.names import LISTED, clean_name, files_below
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import Result

# Pictures can hold embeddings too.
ENDINGS = (*LISTED, ".png", ".webp", ".jxl", ".avif")


def check_words(run: Run, folders: Folders, earlier: Sequence[Result] = ()) -> tuple[Finding, ...]:
    """What the user should know about the words of a run; raises SettingsError for names that cannot be.

    `earlier` are files that the run itself wrote before.
    """
    if not run.parts.words.train:
        return ()
    taken = names_in(folders.embedding, earlier)
    problems = list(impossible(run, taken))
    if problems:
        raise SettingsError(problems)
    return (*in_vocabulary(run), *in_folder(run, taken), *without_vectors(run))


def names_in(folder: Path, earlier: Sequence[Result]) -> dict[str, str]:
    """The file of each word in the embeddings folder, those of the run itself left out."""
    own = {one.path.name.casefold() for one in earlier}
    found: dict[str, str] = {}
    for name in files_below(folder) if folder.is_dir() else ():
        path = PurePath(name)
        if path.suffix.lower() in ENDINGS and name.casefold() not in own and ".preview." not in name:
            found.setdefault(path.stem.casefold(), name)
    return found


def words_with_host(sourced: Sourced, host: Host) -> Sourced:
    """The settings with the place of words decided by what the host reads, where that is left open.

    They go into the network's file only where nothing in the embeddings folder would be taken in their place.
    """
    run = sourced.run
    if not leaves_words_open(run):
        return sourced
    taken = names_in(host.paths.embeddings, ())
    is_free = all("." not in word.name and word.name.casefold() not in taken for word in run.words)
    words_as = "bundle" if is_free and "bundle" in (host.reads or ()) else "pair"
    return update(sourced, {"saving.words_as": words_as}, DECIDED)


def is_bundled(run: Run) -> bool:
    """Whether the words lie in the network's file."""
    return "network" in made(run) and run.saving.words_as == "bundle"


def impossible(run: Run, taken: dict[str, str]) -> Iterator[UserError]:
    """Names that no file can have, or that would be read as something else."""
    for number, word in enumerate(run.words):
        where = f"words.{number}.name"
        if clean_name(word.name) != word.name:
            yield UserError(
                f'"{word.name}" cannot be the name of a file, and prompts call a word by its file.',
                where=where,
                todo=f"Call it {clean_name(word.name)}, for example.",
                code="bad-word",
            )
        elif is_bundled(run) and "." in word.name:
            yield UserError(
                f'"{word.name}" has a dot, which words inside a LoRA file may not have.',
                where=where,
                todo="Leave the dot out, or save a pair of files.",
                code="bad-word",
            )
        elif is_bundled(run) and word.name.casefold() in taken:
            yield UserError(
                f"{taken[word.name.casefold()]} is in the embeddings folder: the WebUI would take that in "
                "place of the word inside the LoRA file.",
                where=where,
                todo="Give the word another name, move that file, or save a pair of files.",
                code="existing-word",
            )


def in_vocabulary(run: Run) -> Iterator[Finding]:
    """Words that the model has a token for already."""
    tokenizer = clip_tokenizer()
    known = [word.name for word in run.words if len(tokenizer(word.name)) == 1]
    if known:
        yield Finding(
            "known-word",
            "warning",
            (),
            f"The model knows {' and '.join(known)} already.",
            "The new meaning takes the place of the old one in every prompt while the file is in use.",
            "Take a name that is no word, such as one with a number in it.",
        )


def in_folder(run: Run, taken: dict[str, str]) -> Iterator[Finding]:
    """Words that the embeddings folder has already."""
    files = [taken[word.name.casefold()] for word in run.words if word.name.casefold() in taken]
    if files:
        yield Finding(
            "existing-word",
            "warning",
            tuple(files),
            f"{' and '.join(files)} {'is' if len(files) == 1 else 'are'} in the embeddings folder already.",
            "The new file gets a number behind its name, and prompts have to say it with the number.",
            "Give the word another name, or move that file.",
        )


def without_vectors(run: Run) -> Iterator[Finding]:
    """Tags of the initialization text that there are no vectors for."""
    for word in run.words:
        lost = left_out(word, run.concepts)
        if lost:
            yield Finding(
                "unused-start",
                "warning",
                (),
                f"{word.name} has {word.vectors} vectors; {', '.join(lost)} of its initialization text "
                f"{'is' if len(lost) == 1 else 'are'} left out.",
                "",
                "Give it more vectors, or fewer tags.",
            )
