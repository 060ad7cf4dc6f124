"""What stands in the rows of a sheet: networks and words at strengths, checkpoints once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.sampling.drawing import DrawJob

NETWORK, WORD, CHECKPOINT = "network", "word", "checkpoint"
ROLES = {"adapter": NETWORK, "embedding": WORD}
# Signs of the prompts' grammar, between which a word cannot be weighed.
GRAMMAR = set("()[]:\\")


@dataclass(frozen=True)
class Row:
    """A file, and what it is compared as."""

    path: Path
    role: str

    @property
    def name(self) -> str:
        return self.path.name if self.path.is_dir() else self.path.stem


def row_of(path: Path) -> Row:
    """A file by what it is; raises FileError."""
    role = CHECKPOINT if path.is_dir() else ROLES.get(identify(path).role, CHECKPOINT)
    if role == WORD and GRAMMAR & set(path.stem):
        raise UserError(
            "has a name that cannot be weighed in a prompt.",
            where=str(path),
            todo="Rename the file: no brackets, colons or backslashes.",
        )
    return Row(path, role)


def with_words(job: DrawJob, rows: Sequence[Row]) -> tuple[Path, ...]:
    """The words of the job and those that are compared."""
    return tuple(dict.fromkeys((*job.embeddings, *(row.path for row in rows if row.role == WORD))))


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet; `number` is its row's."""

    number: int
    row: Row
    prompt: str
    strength: float
    base: Path


def cells_of(job: DrawJob, rows: Sequence[Row], strengths: Sequence[float]) -> list[Cell]:
    """Every picture in its order; a checkpoint has one, whatever the strengths."""
    return [
        Cell(number, row, prompt, strength, row.path if row.role == CHECKPOINT else job.base)
        for number, row in enumerate(rows)
        for prompt in job.prompts
        for strength in (strengths if row.role != CHECKPOINT else (1.0,))
    ]


def weighed(prompt: str, word: str, strength: float) -> str:
    """The prompt with a word at a strength, at its end where it does not stand there; without it at 0."""
    said = re.compile(rf"\({re.escape(word)}:[^()]*\)|(?<![\w-]){re.escape(word)}(?![\w-])", re.IGNORECASE)
    if not strength:
        parts = (part.strip() for part in said.sub("", prompt).split(","))
        return ", ".join(part for part in parts if part)
    own = f"({word}:{strength:g})"
    if said.search(prompt):
        return said.sub(lambda _: own, prompt)
    return ", ".join(part for part in (prompt.strip(), own) if part)


def row_names(job: DrawJob, rows: Sequence[Row]) -> list[str]:
    """What stands beside each row; nothing where there is only one."""
    if len(rows) == 1 and len(job.prompts) == 1:
        return []
    if len(job.prompts) == 1:
        return [row.name for row in rows]
    names = [row.name for row in rows] if len(rows) > 1 else [""]
    return [" ".join(part for part in (name, prompt) if part) for name in names for prompt in job.prompts]
