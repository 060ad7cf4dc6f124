"""From settings to everything that the steps need, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.merging import merge_files
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.adapters.planning import trained_parts
from lib_dreambooth.adapters.together import words_in
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.cache.keeping import open_store, where_to_keep
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.data.cache.latents import LatentCache
from lib_dreambooth.data.cache.stores import Store
from lib_dreambooth.data.class_pictures import missing, requests, with_drawn
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.feeding.batch import Assembler
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.scanning.scan import Scan, scan
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.models.encode import NO_EMBEDDINGS, Embeddings
from lib_dreambooth.models.families import Family
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.runs.events import Event, Phase, Warned
from lib_dreambooth.settings.length import LengthPlan, plan_length
from lib_dreambooth.settings.meaning import is_adapter, made, trains_text_encoder
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.averages import averages_of
from lib_dreambooth.training.class_drawing import draw_class_pictures
from lib_dreambooth.training.encoding import text_style
from lib_dreambooth.training.objective.objective import Objective
from lib_dreambooth.training.objective.prior import Prior
from lib_dreambooth.training.objective.weighing import trained_prediction
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.optimizers.fused import (
    GRADIENTS,
    fuses,
    in_system_memory,
    keeps_state_away,
    require_alone,
    require_apart,
    require_leaving,
)
from lib_dreambooth.training.optimizers.names import Known
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.precision.arithmetic import Arithmetic, resolve
from lib_dreambooth.training.precision.devices import Ability, ability_of
from lib_dreambooth.training.precision.loss_scale import LossScale
from lib_dreambooth.training.processes import ALONE, Processes
from lib_dreambooth.training.trainer.base_answers import (
    Answers,
    Asked,
    Stored,
    require_room,
    stored_bytes,
)
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.mishaps import trim_heap
from lib_dreambooth.training.trainer.placing import Places
from lib_dreambooth.training.trainer.ready import Materials, Ready
from lib_dreambooth.training.trainer.taking import AS_SET, Taking
from lib_dreambooth.training.trainer.telling import Telling
from lib_dreambooth.training.trainer.texts import CachedTexts, LiveTexts, Texts

# A cache of this size stays in memory where it is left to us; larger ones go to the disk.
MEMORY_CACHE_BYTES = 2_000_000_000
BYTES_OF_FLOAT = 4
READING, SCANNING, CLASS_PICTURES = "reading the model", "looking at the pictures", "drawing class pictures"

Emit = Callable[[Event], object]


@dataclass(frozen=True)
class Rooms:
    """Where a run may keep things."""

    cache: Path
    class_images: Path


@dataclass(eq=False)
class Preparer:
    """Does the phases before the first step; the control is looked at in all of them."""

    run: Run
    device: torch.device
    rooms: Rooms
    control: Control
    emit: Emit
    process: Processes = ALONE
    taking: Taking = AS_SET
    arithmetic: Arithmetic = field(init=False)
    progress: Telling = field(init=False)
    _stores: dict[str, Store] = field(default_factory=dict)
    _places: Places | None = None

    def __post_init__(self) -> None:
        self.progress = Telling(self.emit)

    def read(self) -> LoadedModel:
        """The base with its merged files, frozen, in system memory: parts come to the card in their turn.

        The UNet comes from the file in the precision that it is used in, all else when it is needed.
        """
        self.emit(Phase(name=READING))
        self.control.check()
        settings = self.run.model
        model = read_model(
            settings.base,
            dtype=None if settings.merge else self._read_as,
            vae_path=settings.vae or None,
            prefer_ema=settings.ema_weights,
            expect_family=None if settings.family == "auto" else settings.family,
        )
        self.control.check()
        # What the settings say of the base holds for everything that is drawn with it too.
        model.prediction = trained_prediction(settings.prediction, model.prediction)
        self._resolve(model.family)
        if settings.merge:
            merge_files(settings.merge, model.modules, names_of(model.source.kind), model.family.name)
        if self.run.memory.channels_last == "on":
            model.unet.to(memory_format=torch.channels_last)
        return model

    def _read_as(self, family: Family, part: str) -> torch.dtype | None:
        """The UNet is at work soon, and alone has to be read in another precision for nothing otherwise."""
        if part != UNET:
            return None
        self._resolve(family)
        return self._dtype_of(part)

    def _resolve(self, family: Family) -> None:
        self.arithmetic = resolve(self.run.precision, self._ability, is_half_vae_safe=family.is_half_vae_safe)

    @cached_property
    def _ability(self) -> Ability:
        """What the device can do, tried once."""
        return ability_of(self.device)

    def _dtype_of(self, part: str) -> torch.dtype:
        if part == VAE:
            return self.arithmetic.vae
        if not is_adapter(self.run) and part in trained_parts(self.run, [part]):
            return self.arithmetic.weights
        return self.arithmetic.frozen_unet if part == UNET else self.arithmetic.frozen

    def scan(self) -> Scan:
        """The pictures, with what was found about them told as warnings."""
        found = scan(
            self.run,
            self.rooms.cache / "pictures.json",
            self.rooms.cache / "unpacked",
            progress=lambda done, total: self.progress(SCANNING, done, total),
            check_cancelled=self.control.check,
        )
        self.tell(finding for finding in found.findings if finding.severity != "note")
        return found

    def tell(self, findings: Iterable[Finding]) -> None:
        """Warns of what was found about pictures."""
        for finding in findings:
            self.emit(Warned(text=finding.sentence(), where=", ".join(finding.paths[:3]), code=finding.code))

    def class_pictures(self, model: LoadedModel, scanned: Scan) -> Scan:
        """The scan with the class pictures that the settings want; what is missing is drawn."""
        wanted = requests(self.run, scanned.items, model.source.sha256)
        if not wanted:
            return scanned
        if self.process.is_main:
            is_due = bool(missing(wanted, self.rooms.class_images))
            with self.places(model).drawing() if is_due else nullcontext() as stage:
                draw_class_pictures(
                    model,
                    self.run,
                    wanted,
                    self.rooms.class_images,
                    lambda done, total: self.progress(CLASS_PICTURES, done, total),
                    self.control.asks_to_stop,
                    stage,
                )
        # The others wait until all are there.
        self.process.agreed(None)
        return with_drawn(scanned, wanted, self.rooms.class_images)

    def places(self, model: LoadedModel) -> Places:
        """Where the parts of the model are."""
        if self._places is None or self._places.model is not model:
            keeps_all = self.run.memory.unload == "off"
            self._places = Places(
                model,
                self.device,
                {part: self._dtype_of(part) for part in model.modules},
                keeps_all=keeps_all,
                is_alone=self.taking.leaves_for(self.run.memory.unload),
            )
        return self._places

    def materials(
        self, model: LoadedModel, scanned: Scan, without: frozenset[str] = frozenset()
    ) -> Materials:
        """What is needed to encode pictures and captions; nothing of the model is on the card for it yet."""
        run = self.run
        dataset = Dataset(run, scanned, processes=self.process.count, without=without)
        length = plan_length(dataset.plan.epoch, run.length.train_for, run.length.whole_epochs)
        dataset.total_steps = length.total_steps
        require_plain(model.source.kind, model.source.path)
        return Materials(
            run=run,
            model=model,
            device=self.device,
            places=self.places(model),
            dataset=dataset,
            length=length,
            latents=self._latent_cache(model, dataset),
            texts=self._texts(model),
        )

    def ready(self, found: Materials) -> Ready:
        """Everything for the first step, on the card; what its epoch needs is encoded before or after."""
        found.places.settle(found.at_work())
        trained = self.attach(found.model)
        try:
            return self._ready(found, trained)
        except BaseException:
            trained.eject()
            raise

    def _ready(self, found: Materials, trained: Trainable) -> Ready:
        run, model, dataset, length, texts = found.run, found.model, found.dataset, found.length, found.texts
        objective = Objective(run, model)
        if "weights" in made(run) and says_schedule(model):
            # Previews are drawn as readers of the file will draw.
            model.schedule = objective.schedule
        optimizer = self._optimizer(trained, length)
        is_fused = self._is_fused(optimizer.known, trained)
        return Ready(
            run=run,
            model=model,
            device=self.device,
            places=found.places,
            arithmetic=self.arithmetic,
            dataset=dataset,
            length=length,
            latents=found.latents,
            texts=texts,
            assembler=Assembler(dataset, found.latents, fresh=run.memory.latent_draw == "fresh"),
            trained=trained,
            objective=objective,
            optimizer=optimizer,
            averages=averages_of(run.ema, trained.parts()),
            scale=LossScale() if self.arithmetic.scales_loss else None,
            process=self.process,
            is_fused=is_fused,
            pieces=1 if is_fused else self.taking.pieces_for(run.memory.pieces),
            base_answers=self._answers(model, dataset, length, trained, texts),
        )

    def _optimizer(self, trained: Trainable, length: LengthPlan) -> Optimizer:
        """What moves the weights, with gradients and what it remembers where the settings keep them."""
        optimizer = new_optimizer(self.run, trained.parts(), length, self.process.count)
        if any(mover.is_half for mover in optimizer.movers):
            # What stood in for the weights meanwhile.
            trim_heap()
        if in_system_memory(self.run, self.taking.is_in_system):
            require_apart(optimizer.known, GRADIENTS)
            require_alone(self.process.count, GRADIENTS)
            optimizer.keep_gradients_in_system_memory()
        if keeps_state_away(self.run, self.taking.is_state_away):
            require_leaving(optimizer.known)
            optimizer.keep_state_in_system_memory()
        return optimizer

    def _is_fused(self, known: Known, trained: Trainable) -> bool:
        is_card = self.device.type == "cuda"
        return fuses(
            self.run,
            known,
            num_weights=sum(part.parameter.numel() for part in trained.parts()),
            card_bytes=torch.cuda.get_device_properties(self.device).total_memory if is_card else 0,
            scales_loss=self.arithmetic.scales_loss,
            processes=self.process.count,
            chosen=self.taking.is_fused,
        )

    def attach(self, model: LoadedModel) -> Trainable:
        """Puts what is trained beside or into the model, and tells it of the words."""
        trained = attach(
            self.run,
            {part: module for part, module in model.modules.items() if part != VAE},
            names_of(model.source.kind),
            model.family.name,
            rules=model.rules,
            dtype=self.arithmetic.weights,
            tokenize=model.tokenizer,
        )
        words = words_in(trained)
        # The live rows: what moves them, takes them away or puts averages in place is seen at once.
        model.words = NO_EMBEDDINGS if words is None else Embeddings(words.at_work)
        return trained

    def _latent_cache(self, model: LoadedModel, dataset: Dataset) -> LatentCache | None:
        memory = self.run.memory
        wanted = dataset.wanted(dataset.plan.pairs_of_epoch(0))
        sizes = sum(want.cut.size[0] * want.cut.size[1] // 64 for want in wanted)
        num_bytes = sizes * model.latent_channels * 2 * BYTES_OF_FLOAT
        mode: Any = memory.cache_latents  # one of the choices: the settings were checked
        place = where_to_keep(mode, num_bytes, 4 * MEMORY_CACHE_BYTES)
        if place == "off":
            return None
        store = self._store("latents", place, memory.trust_cache)
        encoder = model.vae_source or model.source.path
        name = digest(model.source.sha256, str(encoder), str(self.arithmetic.vae), model.latent_scale)
        return LatentCache(store, vae=name, group_size=max(1, memory.vae_batch))

    def _texts(self, model: LoadedModel) -> Texts:
        mode = self.run.memory.cache_text
        # What words mean changes with every step too.
        if trains_text_encoder(self.run) or self.run.parts.words.train or mode == "off":
            return LiveTexts(model, self.run)
        # Where latents wait on the disk for the next run, states do: neither encoder is needed then.
        stays = mode == "disk" or (mode == "auto" and self.run.memory.cache_latents == "disk")
        store = self._store("texts", "disk" if stays else "memory")
        name = digest(model.source.sha256, str(self.arithmetic.frozen), self.run.model.merge)
        return CachedTexts(model, self.run, store, name)

    def _answers(
        self, model: LoadedModel, dataset: Dataset, length: LengthPlan, trained: Trainable, texts: Texts
    ) -> Answers | None:
        """The untouched model, where anything is learned from it."""
        prior = Prior.of(self.run)
        asking = [item for item in dataset.items if prior.may_ask(item)]
        if not asking:
            return None
        compute = self.arithmetic.compute
        asked = Asked(model, trained, texts, None if compute == torch.float32 else compute)
        if "weights" not in made(self.run):
            return asked
        num_bytes = stored_bytes(dataset, asking, length.total_steps or 0, model.latent_channels)
        place = where_to_keep("auto", num_bytes, 4 * MEMORY_CACHE_BYTES)
        if place == "disk":
            require_room(self.rooms.cache, num_bytes)
        store = self._store("answers", "memory" if place == "memory" else "disk")
        name = digest(
            model.source.sha256,
            list(self.run.model.merge),
            str(self.arithmetic),
            repr(text_style(self.run)),
            self.device.type,
        )
        return Stored(asked, store, name)

    def _store(self, name: str, place: Literal["memory", "disk"], trust: bool = False) -> Store:
        """Opened once: what is encoded already stays where some pictures turn out unusable."""
        if name not in self._stores:
            self._stores[name] = open_store(place, self.rooms.cache / name, trust)
        return self._stores[name]


def require_plain(kind: FileKind, path: Path) -> None:
    """Raises FileError for models whose UNet takes more than a noisy picture."""
    if kind.variant:
        raise FileError(
            f"is an {kind.variant} model, which cannot be trained on pictures alone.",
            where=str(path),
            todo="Choose the plain model of the same family; the result works with both.",
            code="unsupported-model",
        )


def says_schedule(model: LoadedModel) -> bool:
    """Whether a checkpoint of this model says by itself which noise schedule it was trained on."""
    return model.family.name == "sdxl" and model.prediction == "v"
