"""Writes what a run made: each file new, whole, with its side files, and no more of them than asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import write_json
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.checkpoint_write import Source, write_checkpoint
from lib_dreambooth.formats.embedding import Embedding, write_embedding
from lib_dreambooth.formats.folder_write import write_folder
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.formats.lora import AdapterModule
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.tokenizer_files import folder_tokenizers
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.adapter_file import adapter_tensors, write_adapter_file
from lib_dreambooth.training.export.base_yaml import take_along
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Session
from lib_dreambooth.training.export.hashing import fill_in_hash, measured, with_room_for_hash
from lib_dreambooth.training.export.metadata import About, metadata_for
from lib_dreambooth.training.export.model_spec import THUMBNAIL_KEY, thumbnail_url
from lib_dreambooth.training.export.names import clean_name
from lib_dreambooth.training.export.own_settings import FOLDER_METADATA
from lib_dreambooth.training.export.places import Folders, Places
from lib_dreambooth.training.export.placing import placed, require_space
from lib_dreambooth.training.export.pruning import Kept
from lib_dreambooth.training.export.result import ADAPTER, CHECKPOINT, DIFFUSERS, EMBEDDING, Result
from lib_dreambooth.training.export.rewriting import rewrite_adapter
from lib_dreambooth.training.export.side_files import card, write_card, write_preview
from lib_dreambooth.training.export.states import ModelSources, Replaced, model_sources, require_finite

log = logging.getLogger(__name__)

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
ENDING = ".safetensors"
# Header, side files, and what a file system adds.
SPARE_BYTES = 4_000_000


class Exporter:
    """Writes the results of one run.

    `run` has everything decided, seed and resolution too; `name` stands in where the settings name no file.
    `earlier` are the results that the run wrote before it was interrupted: new ones go beside them, and
    nothing but these and the new ones is ever removed.
    """

    def __init__(
        self,
        run: Run,
        base: BaseFacts,
        folders: Folders,
        session: Session,
        *,
        name: str,
        data: DataFacts | None = None,
        earlier: Sequence[Result] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run = run
        self.base = base
        self.session = session
        self.data = data or DataFacts()
        self.name = clean_name(run.metadata.name or name)
        self.places = Places(run.saving, folders, self.name, earlier)
        self._clock = clock
        self._kept = Kept(run.saving.keep, earlier)

    @property
    def results(self) -> list[Result]:
        """What this run wrote and did not prune, in order."""
        return list(self._kept.results)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of files for use."""
        return PRECISIONS[self.run.saving.precision]

    @property
    def bundles_words(self) -> bool:
        """Whether words go into the LoRA file; else they get files of their own (`write_word`)."""
        return self.run.saving.words_as == "bundle"

    def needed_bytes(self, tensors: Collection[Tensor | Source]) -> int:
        """The size of a file with these tensors, side files included; a little more than it will be."""
        return SPARE_BYTES + sum(self._bytes_of(tensor) for tensor in tensors)

    def require_space(self, kind: str, num_bytes: int, what: str = "the next file") -> None:
        """Raises FileError where the disk has no room for so much."""
        require_space(self.places.folder(kind), num_bytes, what)

    def write_adapter(
        self,
        modules: Mapping[Target, AdapterModule],
        names: AdapterNames,
        *,
        step: int,
        epoch: int,
        words: Mapping[str, Mapping[str, Tensor]] | None = None,
        called: Mapping[str, str] | None = None,
        preview: bytes = b"",
        thumbnail: bytes = b"",
        label: str = "",
        is_final: bool = False,
    ) -> Result:
        """A LoRA or LyCORIS file; `words` by name and text encoder lie in it where the settings want that.

        `called` says what prompts call words that have files of their own. `preview` is a PNG, `thumbnail` a
        small picture. Raises UserError and leaves what is there as it was.
        """
        tensors = adapter_tensors(modules, names, (words or {}) if self.bundles_words else {})
        self.require_space(ADAPTER, self.needed_bytes(tensors.values()))

        def make(staging: Path, about: About) -> None:
            write_adapter_file(staging, tensors, self.dtype, self._metadata(about))

        waiting = Result(Path(), ADAPTER, step, epoch, 0, "", label, is_final)
        return self._write(waiting, make, preview, thumbnail, called=called)

    def write_word(
        self,
        word: str,
        vectors: Mapping[str, Tensor],
        *,
        step: int,
        epoch: int,
        preview: bytes = b"",
        thumbnail: bytes = b"",
        label: str = "",
        is_final: bool = False,
    ) -> Result:
        """An embedding, by text encoder; its file is named after the word, which is what prompts say."""
        name = f"{word}-{label}" if label else word
        finite = {part: require_finite(word, tensor.detach().cpu()) for part, tensor in vectors.items()}
        self.require_space(EMBEDDING, self.needed_bytes(list(finite.values())))
        ending = f".{self.run.saving.embedding_format}"

        def make(staging: Path, about: About) -> None:
            embedding = Embedding(about.stem, finite, step)
            write_embedding(
                staging, embedding, dtype=self.dtype, metadata=self._metadata(about), ending=ending
            )

        waiting = Result(Path(), EMBEDDING, step, epoch, 0, "", name, is_final)
        return self._write(waiting, make, preview, thumbnail, ending=ending)

    def write_checkpoint(
        self,
        model: LoadedModel,
        *,
        step: int,
        epoch: int,
        trained: Collection[str] = (),
        replaced: Replaced | None = None,
        called: Mapping[str, str] | None = None,
        preview: bytes = b"",
        thumbnail: bytes = b"",
        label: str = "",
        is_final: bool = False,
    ) -> Result:
        """A checkpoint in the one file that hosts read, with a YAML where they need it or the base has one.

        `trained` names the parts that changed; `replaced` holds tensors that take the place of the modules'
        own: averages, or weights with an adapter added (`states.merged`).
        """
        with self._sources(model, trained, replaced) as sources:
            self.require_space(CHECKPOINT, self.needed_bytes(list(sources.tensors)))

            def make(staging: Path, about: About) -> None:
                write_checkpoint(
                    staging,
                    sources.parts,
                    sources.kind,
                    dtype=self.dtype,
                    extras=sources.extras,
                    metadata=with_room_for_hash(self._metadata(about)),
                    file_shapes=sources.file_shapes,
                )
                fill_in_hash(staging)
                take_along(model.source.path, staging, sources.kind.prediction)

            waiting = Result(Path(), CHECKPOINT, step, epoch, 0, "", label, is_final)
            return self._write(waiting, make, preview, thumbnail, called=called)

    def write_diffusers(
        self,
        model: LoadedModel,
        *,
        step: int,
        epoch: int,
        trained: Collection[str] = (),
        replaced: Replaced | None = None,
        called: Mapping[str, str] | None = None,
        label: str = "",
        is_final: bool = False,
    ) -> Result:
        """The same as a diffusers folder."""
        with self._sources(model, trained, replaced) as sources:
            self.require_space(DIFFUSERS, self.needed_bytes(list(sources.tensors)))

            def make(staging: Path, about: About) -> None:
                metadata = self._metadata(about)
                write_folder(
                    staging,
                    sources.parts,
                    sources.kind,
                    dtype=self.dtype,
                    extras=sources.extras,
                    metadata=metadata,
                    more_files=folder_tokenizers(sources.kind.family),
                )
                write_json(staging / FOLDER_METADATA, metadata)

            waiting = Result(Path(), DIFFUSERS, step, epoch, 0, "", label, is_final)
            return self._write(waiting, make, b"", b"", ending="", called=called)

    def add_preview(self, result: Result, png: bytes, thumbnail: bytes = b"") -> Result:
        """Puts a picture beside a file, and a small one into it where that was asked for."""
        if result.kind == DIFFUSERS or not result.path.exists():
            return result
        write_preview(result.path, png)
        if not (thumbnail and self.run.metadata.thumbnail and result.kind == ADAPTER):
            return result
        if self.run.metadata.content == "none":
            return result
        rewrite_adapter(result.path, result.path, {THUMBNAIL_KEY: thumbnail_url(thumbnail)})
        return self._kept.exchange(result, measured(replace(result, sha256="")))

    def _sources(
        self, model: LoadedModel, trained: Collection[str], replaced: Replaced | None
    ) -> AbstractContextManager[ModelSources]:
        run = self.run
        # LoRA files that were merged into the base are in memory alone.
        changed = {part for part in model.modules if part != VAE} if run.model.merge else set()
        return model_sources(
            model,
            self.base,
            trained={*trained, *changed},
            replaced=replaced,
            own_vae=run.saving.own_vae and model.vae_source is not None,
            prefer_ema=run.model.ema_weights,
        )

    def _write(
        self,
        waiting: Result,
        make: Callable[[Path, About], None],
        preview: bytes,
        thumbnail: bytes,
        *,
        ending: str = ENDING,
        called: Mapping[str, str] | None = None,
    ) -> Result:
        """Makes a file under a free name, then its side files, then room."""

        def make_as(staging: Path, stem: str) -> None:
            when = waiting.step, waiting.epoch, now
            make(staging, About(waiting.kind, stem, self.name, *when, thumbnail, called or {}))

        now = self._clock()
        folder, stems = self.places.folder(waiting.kind), self.places.free_stems(waiting)
        result = measured(replace(waiting, path=placed(folder, make_as, stems, ending)))
        self._beside(result, preview, called or {})
        self._kept.add(result)
        return result

    def _beside(self, result: Result, preview: bytes, called: Mapping[str, str]) -> None:
        """Side files; their failure costs a card or a picture, never the result."""
        if result.kind == DIFFUSERS:
            return
        try:
            write_card(result.path, card(self.run, self.base.family, result, called))
            if preview:
                write_preview(result.path, preview)
        except UserError as error:
            log.warning("The side files of %s could not be written: %s", result.path.name, error)

    def _metadata(self, about: About) -> dict[str, str]:
        return metadata_for(self.run, self.base, self.data, self.session, about)

    def _bytes_of(self, tensor: Tensor | Source) -> int:
        size = self.dtype.itemsize if tensor.dtype.is_floating_point else tensor.dtype.itemsize
        count = 1
        for length in tensor.shape:
            count *= length
        return count * size
