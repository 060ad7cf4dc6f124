"""The same picture with LoRA files at several strengths, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import folder_made
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.models.loaded import LoadedModel
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
from lib_dreambooth.sampling.grid import Picture, draw_grid
from lib_dreambooth.sampling.infotext import infotext, save_picture
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.sampling.watch import never
from lib_dreambooth.sampling.words import read_all, words_from
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

    The job's own LoRA files act on every picture. The base is read once; at strength 0 a file does nothing,
    so that picture is drawn once for all files. Raises UserError before anything is read.
    """
    check(job, files, strengths)
    settings_of(job, job.size_wh or (512, 512)).check()
    device = chosen_device(job.device)
    for path in (*files, *(use.path for use in job.loras)):
        read_adapter(path)
    read_all(job.embeddings)
    dtype = PRECISIONS[job.precision] if job.precision else default_precision(device)
    model = read_model(job.base, device=device, dtype=dtype, vae_path=job.vae)
    settings = settings_of(job, job.size_wh or default_size(model))
    drawer = Drawer(job, Generator(model, words_from(job.embeddings, model)), settings, should_stop)
    cells = [(prompt, path, strength) for path in files for prompt in job.prompts for strength in strengths]
    pictures = []
    for number, cell in enumerate(cells, 1):
        pictures.append(drawer.picture(*cell))
        tell(number, len(cells))
    sheet = draw_grid(
        pictures, columns=[f"{strength:g}" for strength in strengths], rows=row_names(job, files)
    )
    with folder_made(folder):
        path = free_name(folder, job.seed)
        save_picture(path, sheet, text_of(job, settings, model, files, strengths))
    return Compared(path, tuple(files), tuple(strengths))


class Drawer:
    """Draws one picture after the other, none twice."""

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
        self._without: dict[str, Picture] = {}

    def picture(self, prompt: str, path: Path, strength: float) -> Picture:
        """The picture of a prompt with a file at a strength."""
        if strength:
            return self._drawn(prompt, LoraUse(path, strength))
        if prompt not in self._without:
            self._without[prompt] = self._drawn(prompt)
        return self._without[prompt]

    def _drawn(self, prompt: str, *more: LoraUse) -> Picture:
        request = Request(prompt, self.job.negative, self.job.seed)
        loras = (*self.job.loras, *more)
        [picture] = self.generator.draw([request], self.settings, loras=loras, should_stop=self.should_stop)
        return picture


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


def row_names(job: DrawJob, files: Sequence[Path]) -> list[str]:
    """What stands beside each row; nothing where there is only one."""
    if len(files) == 1 and len(job.prompts) == 1:
        return []
    if len(job.prompts) == 1:
        return [path.stem for path in files]
    names = [path.stem for path in files] if len(files) > 1 else [""]
    return [" ".join(part for part in (name, prompt) if part) for name in names for prompt in job.prompts]


def text_of(
    job: DrawJob,
    settings: PictureSettings,
    model: LoadedModel,
    files: Sequence[Path],
    strengths: Sequence[float],
) -> str:
    """The generation text of the first picture, and what differs from it in the others."""
    text = infotext(
        job.prompts[0],
        job.negative,
        job.seed,
        settings,
        model=model.source.name,
        model_hash=model.source.sha256,
        loras=job.loras,
    )
    names = " / ".join(path.stem.replace(",", " ") for path in files)
    return f"{text}, Compared: {names}, Strengths: {' '.join(f'{one:g}' for one in strengths)}"
