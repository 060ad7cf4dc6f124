"""The same picture with networks and words at several strengths, and on checkpoints, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import folder_made
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.drawing import (
    PRECISIONS,
    DrawJob,
    chosen_device,
    default_precision,
    default_size,
    free_name,
    settings_of,
)
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.grid import Picture, blank, draw_grid
from lib_dreambooth.sampling.infotext import infotext, save_picture
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.sampling.watch import never
from lib_dreambooth.sampling.words import read_all, words_from
from lib_dreambooth.tools.compared_rows import (
    CHECKPOINT,
    NETWORK,
    WORD,
    Cell,
    Row,
    cells_of,
    row_names,
    row_of,
    weighed,
    with_words,
)
from lib_dreambooth.tools.merge import Telling

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_PICTURES = 200
LARGEST_STRENGTH = 10.0


@dataclass(frozen=True)
class Compared:
    """The sheet, with its files from top to bottom and strengths from left to right."""

    path: Path
    files: tuple[Path, ...]
    strengths: tuple[float, ...]


def compare(
    job: DrawJob,
    files: Sequence[Path],
    strengths: Sequence[float],
    folder: Path,
    *,
    tell: Telling = lambda done, total: None,
    should_stop: Callable[[], bool] = never,
) -> Compared:
    """Draws every prompt of the job with each file at each strength into one sheet in `folder`.

    A network acts at the strength, a word stands in the prompt as (word:strength); a checkpoint is drawn
    once, in place of the base. The job's own LoRA files and words act on every picture. At strength 0 a file
    does nothing. Raises UserError before anything is drawn.
    """
    check(job, files, strengths)
    settings_of(job, job.size_wh or (512, 512)).check()
    device = chosen_device(job.device)
    rows = [row_of(path) for path in files]
    for path in (*(row.path for row in rows if row.role == NETWORK), *(use.path for use in job.loras)):
        read_adapter(path)
    job = dataclasses.replace(job, embeddings=with_words(job, rows))
    read_all(job.embeddings)
    studio = Studio(job, device, should_stop)
    cells = cells_of(job, rows, strengths)
    pictures: dict[Cell, Picture] = {}
    # One checkpoint after the other, so that each is read once and none lies beside another.
    for base in dict.fromkeys(cell.base for cell in cells):
        for cell, picture in studio.drawn(base, [cell for cell in cells if cell.base == base]):
            pictures[cell] = picture
            tell(len(pictures), len(cells))
    sheet = sheet_of(pictures, job, rows, strengths)
    with folder_made(folder):
        path = free_name(folder, job.seed)
        save_picture(path, sheet, text_of(job, studio, rows, strengths))
    return Compared(path, tuple(files), tuple(strengths))


class Studio:
    """Reads the checkpoints that are drawn on, one at a time; settings, name and hash are the first's."""

    def __init__(self, job: DrawJob, device: torch.device, should_stop: Callable[[], bool]) -> None:
        self.job = job
        self.device = device
        self.should_stop = should_stop
        self.settings: PictureSettings | None = None
        self.name = self.sha256 = ""

    def drawn(self, base: Path, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Picture]]:
        """The pictures that are drawn on a checkpoint."""
        job = self.job
        dtype = PRECISIONS[job.precision] if job.precision else default_precision(self.device)
        model = read_model(base, device=self.device, dtype=dtype, vae_path=job.vae)
        if self.settings is None:
            self.settings = settings_of(job, job.size_wh or default_size(model))
            self.name, self.sha256 = model.source.name, model.source.sha256
        words = words_from(job.embeddings, model)
        drawer = Drawer(job, Generator(model, words), self.settings, self.should_stop)
        for cell in cells:
            yield cell, drawer.picture(cell)


class Drawer:
    """Draws one picture after the other on one checkpoint, none twice."""

    def __init__(
        self,
        job: DrawJob,
        generator: Generator,
        settings: PictureSettings,
        should_stop: Callable[[], bool],
    ) -> None:
        self.job = job
        self.generator = generator
        self.settings = settings
        self.should_stop = should_stop
        self._plain: dict[str, Picture] = {}

    def picture(self, cell: Cell) -> Picture:
        """The picture of a cell."""
        if cell.row.role == NETWORK and cell.strength:
            return self._drawn(cell.prompt, LoraUse(cell.row.path, cell.strength))
        prompt = cell.prompt
        if cell.row.role == WORD:
            prompt = weighed(prompt, cell.row.path.stem, cell.strength)
        if prompt not in self._plain:
            self._plain[prompt] = self._drawn(prompt)
        return self._plain[prompt]

    def _drawn(self, prompt: str, *more: LoraUse) -> Picture:
        request = Request(prompt, self.job.negative, self.job.seed)
        loras = (*self.job.loras, *more)
        [picture] = self.generator.draw([request], self.settings, loras=loras, should_stop=self.should_stop)
        return picture


def sheet_of(
    pictures: Mapping[Cell, Picture], job: DrawJob, rows: Sequence[Row], strengths: Sequence[float]
) -> Picture:
    """All pictures, a line of strengths for each file; what a checkpoint has no picture for stays empty."""
    columns = [f"{strength:g}" for strength in strengths]
    if all(row.role == CHECKPOINT for row in rows):
        columns = []
    width = max(1, len(columns))
    laid: list[Picture] = []
    for number in range(len(rows)):
        for prompt in job.prompts:
            line = [one for cell, one in pictures.items() if (cell.number, cell.prompt) == (number, prompt)]
            laid += [*line, *(blank(line[0]) for _ in range(width - len(line)))]
    return draw_grid(laid, width, columns=columns, rows=row_names(job, rows))


def check(job: DrawJob, files: Sequence[Path], strengths: Sequence[float]) -> None:
    """Raises UserError for what cannot be a sheet."""
    if not files or not strengths or not job.prompts:
        raise UserError(
            "there is nothing to compare.", where="files", todo="Name a file, a strength and a prompt."
        )
    if any(not abs(strength) <= LARGEST_STRENGTH for strength in strengths):
        raise UserError(
            "is too strong.",
            where="strengths",
            todo=f"Stay between -{LARGEST_STRENGTH:g} and {LARGEST_STRENGTH:g}.",
        )
    count = len(files) * len(strengths) * len(job.prompts)
    if count > MOST_PICTURES:
        raise UserError(
            f"these would be {count} pictures.",
            where="files",
            todo=f"Choose fewer: {MOST_PICTURES} at most.",
        )


def text_of(job: DrawJob, studio: Studio, rows: Sequence[Row], strengths: Sequence[float]) -> str:
    """The generation text of the first picture, and what differs from it in the others."""
    assert studio.settings is not None
    text = infotext(
        job.prompts[0],
        job.negative,
        job.seed,
        studio.settings,
        model=studio.name,
        model_hash=studio.sha256,
        loras=job.loras,
    )
    names = " / ".join(row.name.replace(",", " ") for row in rows)
    text = f"{text}, Compared: {names}"
    if all(row.role == CHECKPOINT for row in rows):
        return text
    return f"{text}, Strengths: {' '.join(f'{one:g}' for one in strengths)}"
