"""Where the files of a run go."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.settings.schema import Saving
from lib_dreambooth.training.export.names import Taken, counter_text, new_run_folder, stems
from lib_dreambooth.training.export.result import DIFFUSERS, EMBEDDING, Result


@dataclass(frozen=True)
class Folders:
    """Where the host looks for files of each kind; diffusers folders are ours alone."""

    adapter: Path
    checkpoint: Path
    diffusers: Path
    embedding: Path

    def of(self, kind: str) -> Path:
        """The folder for a kind of result."""
        found: Path = getattr(self, kind)
        return found


class Places:
    """The folders of one run, and free names in them.

    A run that goes on finds its folder by its `earlier` results.
    """

    def __init__(self, saving: Saving, folders: Folders, name: str, earlier: Sequence[Result]) -> None:
        self._saving = saving
        self._folders = folders
        self._name = name
        # Kinds that share a root share the run's folder.
        self._of_run: dict[Path, Path] = {}
        for one in earlier if saving.subfolder else ():
            root = self.root(one.kind)
            # The output folder may be another now.
            if one.path.parent.parent == root:
                self._of_run[root] = one.path.parent

    def root(self, kind: str) -> Path:
        """The folder that files of a kind go to, or have a folder in."""
        own = self._saving.folder.strip()
        return Path(own) if own else self._folders.of(kind)

    def folder(self, kind: str) -> Path:
        """Where the next file of a kind goes; the same for the whole run."""
        root = self.root(kind)
        if not self._saving.subfolder:
            return root
        if root not in self._of_run:
            self._of_run[root] = new_run_folder(root, self._name)
        return self._of_run[root]

    def free_stems(self, waiting: Result) -> Iterator[str]:
        """Stems that nothing has, best first, for a result that is to be written."""
        folder = self.folder(waiting.kind)
        name = f"{self._name}-{waiting.label}" if waiting.label else self._name
        taken = Taken(self.root(waiting.kind), folder)
        counter = counter_text(self._saving.counter, waiting.step, waiting.epoch)
        tried = stems(folder, name, counter)
        if waiting.kind == EMBEDDING:
            # The file's name is what prompts say: at the end the word itself, unless that is taken.
            tried = stems(folder, waiting.label, counter)
            if waiting.is_final:
                tried = itertools.chain([waiting.label], tried)
        found = (stem for stem in tried if not taken(stem))
        if waiting.kind == DIFFUSERS:
            return (stem for stem in found if not (folder / stem).exists())
        return found
