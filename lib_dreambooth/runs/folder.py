"""One model on the disk: which base it has and where everything of it lies."""

from __future__ import annotations

import datetime
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.base.files import unwritable, write_text
from lib_dreambooth.base.hashing import sha256_ahead
from lib_dreambooth.runs.base_file import BaseFile, describe, is_untouched, verified
from lib_dreambooth.runs.names import checked_name
from lib_dreambooth.settings.files import load_text, parsed
from lib_dreambooth.settings.toml_text import toml_value

CARD = "model.toml"
VERSION = 1
HEADER = "# What this model is trained from. Written when it was created.\n"
HISTORY_NUMBER = re.compile(r"(\d+)-.*\.toml")


@dataclass(frozen=True)
class ModelCard:
    """The content of model.toml; `created` is UTC in ISO form."""

    name: str
    family: str
    created: str
    base: BaseFile


@dataclass(frozen=True)
class ModelFolder:
    """A model folder; every path of it has its name here. Nothing but `create` makes the folder itself."""

    path: Path

    @classmethod
    def create(
        cls, models_root: Path, name: str, base: Path, family: str, *, sha256: str = ""
    ) -> ModelFolder:
        """A folder that knows its base. Nothing is copied or converted; raises UserError."""
        name = checked_name(name)
        card = ModelCard(name, family, utc_now(), describe(base, sha256))
        folder = cls(Path(models_root) / name)
        try:
            folder.path.parent.mkdir(parents=True, exist_ok=True)
            folder.path.mkdir()
        except FileExistsError as error:
            if folder.is_model or not _is_empty_folder(folder.path):
                raise exists_already(folder.path) from error
        except OSError as error:
            raise unwritable(folder.path, error) from error
        folder.write_card(card)
        return folder

    @classmethod
    def open(cls, path_or_name: str | Path, root: Path | None = None) -> ModelFolder:
        """An existing model by its folder or, below `root`, by its name; raises UserError."""
        for place in _places(path_or_name, root):
            if cls(place).is_model:
                return cls(place)
        raise FileError(
            "there is no model of this name.",
            where=str(path_or_name),
            todo="Create it first, or look at the spelling.",
            code="no-such-model",
        )

    @classmethod
    def all_below(cls, root: Path) -> list[ModelFolder]:
        """Every model in a folder of models, by name."""
        try:
            found = [cls(entry) for entry in Path(root).iterdir() if (entry / CARD).is_file()]
        except OSError:
            return []
        return sorted(found, key=lambda folder: folder.name.casefold())

    @classmethod
    def find(cls, root: Path, name: str) -> ModelFolder | None:
        """The model of exactly this name, if there is one: a name never leads out of the folder of models."""
        return next((one for one in cls.all_below(root) if one.name == name), None)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_model(self) -> bool:
        return (self.path / CARD).is_file()

    @property
    def settings_path(self) -> Path:
        """The settings as last used."""
        return self.path / "settings.toml"

    @property
    def history_dir(self) -> Path:
        return self.path / "history"

    @property
    def states_dir(self) -> Path:
        return self.path / "states"

    @property
    def samples_dir(self) -> Path:
        return self.path / "samples"

    @property
    def logs_dir(self) -> Path:
        return self.path / "logs"

    @property
    def cache_dir(self) -> Path:
        return self.path / "cache"

    @property
    def class_images_dir(self) -> Path:
        return self.path / "class_images"

    @property
    def report_dir(self) -> Path:
        return self.path / "report"

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def inbox_dir(self) -> Path:
        """Where other processes put commands."""
        return self.path / "commands"

    def card(self) -> ModelCard:
        """What model.toml says; raises FileError."""
        data = parsed(load_text(self.path / CARD), CARD)
        base = data.get("base")
        if not isinstance(base, dict) or not isinstance(base.get("file"), str):
            raise FileError(
                "does not say what the model is trained from.",
                where=str(self.path / CARD),
                todo="Create the model again; states and files in the folder can stay.",
                code="bad-model-file",
            )
        found = BaseFile(
            base["file"],
            str(base.get("sha256", "")),
            _whole(base.get("size_bytes")),
            _whole(base.get("modified_ns")),
        )
        return ModelCard(self.name, str(data.get("family", "")), str(data.get("created", "")), found)

    def write_card(self, card: ModelCard) -> None:
        """Writes model.toml, whole or not at all."""
        top = {"version": VERSION, "name": card.name, "family": card.family, "created": card.created}
        base = {
            "file": card.base.path,
            "sha256": card.base.sha256,
            "size_bytes": card.base.size_bytes,
            "modified_ns": card.base.modified_ns,
        }
        lines = [f"{key} = {toml_value(value)}\n" for key, value in top.items()]
        lines += ["\n[base]\n", *(f"{key} = {toml_value(value)}\n" for key, value in base.items())]
        write_text(self.path / CARD, HEADER + "".join(lines))

    def checked_base(self) -> BaseFile:
        """The base, after a look at whether it is still the same file; raises FileError where it is not.

        A base that was only touched or never read is read whole once, and the card then knows.
        """
        card = self.card()
        now = verified(card.base)
        if now != card.base:
            self.write_card(replace(card, base=now))
        return now

    def base_at_hand(self) -> BaseFile:
        """The same without waiting for a base that nobody has read yet and that lies there as it did.

        It is read in a thread; `checked_base` lets the card know afterwards.
        """
        base = self.card().base
        if base.sha256 or not Path(base.path).is_file() or not is_untouched(base):
            return self.checked_base()
        sha256_ahead(Path(base.path))
        return base

    def keep_settings(self, text: str) -> Path:
        """Writes a run's settings as those last used and as a copy of its own; gives the copy's path."""
        taken = [HISTORY_NUMBER.fullmatch(path.name) for path in self.history_dir.glob("*.toml")]
        number = max((int(match[1]) for match in taken if match), default=0) + 1
        stamp = utc_now().replace(":", "").replace("-", "")
        copy = self.history_dir / f"{number:04d}-{stamp}.toml"
        write_text(copy, text)
        write_text(self.settings_path, text)
        return copy

    def inside(self, path: Path) -> str:
        """A path below the folder as events tell it: relative, with slashes; others stay as they are."""
        try:
            return Path(path).relative_to(self.path).as_posix()
        except ValueError:
            return str(path)


def utc_now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def exists_already(path: Path) -> UserError:
    """The sentence for a second model of one name."""
    return UserError(
        "there is a model or folder of this name already.",
        where=str(path),
        todo="Choose another name, or remove the old one.",
        code="name-taken",
    )


def _places(path_or_name: str | Path, root: Path | None) -> list[Path]:
    text = str(path_or_name)
    # A name never leads out of the folder of models.
    is_name = not any(mark in text for mark in "/\\:") and text not in ("", ".", "..")
    places = [Path(text)] if text else []
    if root is None or not is_name:
        return places
    # Folders made on macOS may spell kana in parts.
    named = [Path(root) / unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    return [*named, *places]


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
