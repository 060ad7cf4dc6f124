"""What a run would do, with everything checked that can be checked before weights are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib_dreambooth.adapters.checking import check_layers
from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.class_pictures import ClassRequest, missing, requests, with_drawn
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.health.classes import ignored_captions
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.data.scanning.items import unique_ids
from lib_dreambooth.data.scanning.scan import Scan, scan
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.jobs.completing import complete_with_kind
from lib_dreambooth.jobs.disk import DiskNeed, disk_need
from lib_dreambooth.jobs.longest import chunks_of
from lib_dreambooth.jobs.new_words import check_words
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.settings.length import LengthPlan, plan_length
from lib_dreambooth.settings.meaning import made
from lib_dreambooth.settings.outline import NAMES, Outline, outline
from lib_dreambooth.settings.schema import Captions, Concept, Run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.names import clean_name, counter_text, new_run_folder
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.objective.prior import Prior
from lib_dreambooth.training.optimizers.arguments import checked
from lib_dreambooth.training.optimizers.finding import find, library_module
from lib_dreambooth.training.precision.arithmetic import resolve
from lib_dreambooth.training.precision.attention import chosen
from lib_dreambooth.training.precision.devices import ability_of, choose_device
from lib_dreambooth.training.trainer.base_answers import stored_bytes

Progress = Callable[[int, int], None]
EMBEDDING = NAMES["words"]
ENDINGS = {"LoRA": ".safetensors", "checkpoint": ".safetensors", "diffusers": ""}


@dataclass(frozen=True)
class RunPlan:
    """A run that could start now. `new_class_pictures` are drawn first; `files` are those for use."""

    sourced: Sourced
    kind: FileKind
    length: LengthPlan
    outline: Outline
    num_pictures: int
    repeats: int | None
    num_class_visits: int
    new_class_pictures: int
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]
    disk: DiskNeed
    device: str
    buckets: Mapping[Pixels, int]  # visits of an epoch by the size of their bucket
    num_captions: int
    num_chunks: int  # of the longest caption

    @property
    def run(self) -> Run:
        return self.sourced.run


def plan_run(
    sourced: Sourced,
    name: str,
    results: Folders,
    folder: ModelFolder | None = None,
    *,
    host_device: str | None = None,
    processes: int = 1,
    progress: Progress = lambda done, total: None,
) -> RunPlan:
    """The plan of a run of the model `name`; raises UserError with what stands in its way. Writes nothing.

    `folder` is the model's where it has one already: class pictures drawn before are found there.
    """
    sourced, kind = complete_with_kind(sourced)
    run = sourced.run
    device = choose_device(run.memory.device, host_device)
    resolve(run.precision, ability_of(device))
    known = find(run.optimizer.name, device.type)
    if run.optimizer.arguments:
        checked(known, getattr(library_module(known.library), known.class_name), run.optimizer.arguments)
    chosen(run.memory.attention)
    check_layers(run, kind)
    about_words = check_words(run, results)
    scanned = scan(run, progress=progress)
    scanned, num_new = with_class_pictures(run, scanned, folder)
    dataset = Dataset(run, scanned, processes=processes)
    length = plan_length(dataset.plan.epoch, run.length.train_for, run.length.whole_epochs)
    found = outline(run, length)
    training = [item for item in dataset.items if not item.is_class]
    repeats = {item.repeats for item in training}
    own = sum(item.repeats for item in training)
    return RunPlan(
        sourced=sourced,
        kind=kind,
        length=length,
        outline=found,
        num_pictures=len(training),
        repeats=repeats.pop() if len(repeats) == 1 else None,
        num_class_visits=max(0, length.epoch.num_visits - own),
        new_class_pictures=num_new,
        findings=(
            *about_words,
            *about_arithmetic(run, device.type),
            *scanned.findings,
            *about_classes(dataset),
        ),
        files=expected_files(run, found, length, name, results),
        disk=disk_need(
            run, kind, found.files, place_of(run, results), answers_of(run, kind, dataset, length)
        ),
        device=str(device),
        buckets=dict(dataset.plan.visits),
        num_captions=len({item.caption for item in dataset.items}),
        num_chunks=chunks_of(run, dataset),
    )


def about_arithmetic(run: Run, kind: str) -> list[Finding]:
    """What this kind of device is no good at."""
    if kind != "cpu" or run.precision.mixed != "fp16":
        return []
    what = "a CPU computes in fp16 many times slower than in fp32: a step takes minutes."
    return [Finding("slow-arithmetic", "warning", (), what, todo="Set Mixed Precision to Auto.")]


def about_classes(dataset: Dataset) -> list[Finding]:
    """What the words of class pictures will not do."""

    def settings_of(item: Item) -> tuple[Captions, Concept]:
        handling = dataset.handling(item)
        return handling.captions, handling.concept

    return ignored_captions(dataset.items, settings_of)


def answers_of(run: Run, kind: FileKind, dataset: Dataset, length: LengthPlan) -> int:
    """Bytes of what the base is asked before whole weights move."""
    if "weights" not in made(run) or kind.unet is None:
        return 0
    prior = Prior.of(run)
    asking = [item for item in dataset.items if prior.may_ask(item)]
    return stored_bytes(dataset, asking, length.total_steps or 0, kind.unet.out_channels)


def with_class_pictures(run: Run, scanned: Scan, folder: ModelFolder | None) -> tuple[Scan, int]:
    """The scan as it will be once the missing class pictures are drawn, and how many those are."""
    wanted = requests(run, scanned.items, folder.card().base.sha256 if folder else "")
    lacking = missing(wanted, folder.class_images_dir) if folder else list(wanted)
    if folder is not None:
        scanned = with_drawn(scanned, [one for one in wanted if one not in lacking], folder.class_images_dir)
    return replace(scanned, items=tuple(unique_ids([*scanned.items, *map(to_be_drawn, lacking)]))), len(
        lacking
    )


def to_be_drawn(request: ClassRequest) -> Item:
    """A class picture that is not there yet."""
    return Item(
        id=request.name,
        content=request.name,
        path="",
        caption=request.caption,
        concept=request.concept,
        is_class=True,
        repeats=1,
        size=request.size,
    )


def place_of(run: Run, results: Folders) -> Path:
    """The folder that most of what a run writes lies below."""
    if run.saving.folder.strip():
        return Path(run.saving.folder.strip())
    first = made(run)[0]
    return {"network": results.adapter, "weights": results.checkpoint}.get(first, results.embedding)


def expected_files(
    run: Run, found: Outline, length: LengthPlan, name: str, results: Folders
) -> tuple[Path, ...]:
    """The files for use of a run that is not stopped, as they are called where no such name is taken."""
    if length.total_steps is None:
        return ()
    stem = clean_name(run.metadata.name or name)
    kinds = {
        EMBEDDING: results.embedding,
        "LoRA": results.adapter,
        "checkpoint": results.checkpoint,
        "diffusers": results.diffusers,
    }
    during = kept(found.saves or (), run.saving.keep)
    files: list[Path] = []
    for kind, root in kinds.items():
        stems = [word.name for word in run.words] if kind == EMBEDDING else [stem]
        count = found.files.get(kind, 0) // len(stems) if stems else 0
        steps = (*during, length.total_steps)[-count:] if count else ()
        root = Path(run.saving.folder.strip() or root)
        folder = new_run_folder(root, stem) if run.saving.subfolder and steps else root
        ending = f".{run.saving.embedding_format}" if kind == EMBEDDING else ENDINGS[kind]
        for step in steps:
            epoch = -(-step // length.epoch.steps)
            counter = counter_text(run.saving.counter, step, epoch)
            # The last embedding is called as its word.
            is_word = kind == EMBEDDING and step == length.total_steps
            files += [folder / f"{one}{'' if is_word else f'-{counter}'}{ending}" for one in stems]
    return tuple(files)


def kept(steps: Sequence[int], keep: int) -> Sequence[int]:
    """The last so many; 0 keeps all."""
    return steps[-keep:] if keep else steps
