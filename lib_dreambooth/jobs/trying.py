"""A picture from a prompt, with what was trained: for where there is no txt2img."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import Host
from lib_dreambooth.sampling.drawing import DrawJob, draw_to_folder
from lib_dreambooth.sampling.loras import LoraUse

# Begins with a point, which no model's name does.
FOLDER = ".tried"
KEPT = 200
TAG = re.compile(r"<lora:([^:>]+)(?::([^>]*))?>")
ADAPTER_ENDINGS = (".safetensors",)
EMBEDDING_ENDINGS = (".safetensors", ".pt")
MOST_STEPS = 200


@dataclass(frozen=True)
class Wish:
    """What to draw; networks stand in the prompt as in the WebUI: <lora:name:0.8>."""

    prompt: str
    base: Path
    negative: str = ""
    steps: int = 20
    guidance: float = 7.0
    seed: int = 0
    sampler: str = "euler a"
    size_wh: tuple[int, int] | None = None


def try_out(host: Host, wish: Wish) -> Path:
    """Draws it and gives its file; raises UserError. Waits until the card is free."""
    if not 1 <= wish.steps <= MOST_STEPS:
        raise UserError("is not possible.", where="steps", todo=f"Choose 1 to {MOST_STEPS}.")
    job = job_of(host, wish)
    folder = host.paths.dreambooth / FOLDER
    with host.lend_gpu():
        path = next(iter(list(draw_to_folder(job, folder))))
    forget_old(folder)
    return path


def job_of(host: Host, wish: Wish) -> DrawJob:
    """The drawing, with the files that the prompt names; raises UserError for those that are not there."""
    prompt, uses = without_tags(wish.prompt)
    adapters = files_in([host.paths.adapters], ADAPTER_ENDINGS)
    loras = tuple(LoraUse(file_named(adapters, name), weight) for name, weight in uses)
    words = files_in([host.paths.embeddings], EMBEDDING_ENDINGS)
    named = [path for path in words if path.stem.lower() in f"{prompt}\n{wish.negative}".lower()]
    return DrawJob(
        base=wish.base,
        prompts=(prompt,),
        loras=loras,
        embeddings=tuple(named),
        negative=wish.negative,
        sampler=wish.sampler,
        steps=wish.steps,
        guidance=wish.guidance,
        size_wh=wish.size_wh,
        seed=wish.seed,
        device=host.settings.device,
    )


def without_tags(prompt: str) -> tuple[str, list[tuple[str, float]]]:
    """The prompt without its networks, and their names and strengths; raises UserError."""
    uses = [(name.strip(), strength_of(name, text)) for name, text in TAG.findall(prompt)]
    plain = ", ".join(part for part in map(str.strip, TAG.sub("", prompt).split(",")) if part)
    return plain, [(name, weight) for name, weight in uses if weight]


def strength_of(name: str, text: str) -> float:
    """The strength in a tag, 1 where it has none."""
    try:
        return float(text) if text.strip() else 1.0
    except ValueError as error:
        raise UserError(
            f"{text[:40]!r} is no strength.", where=f"<lora:{name[:80]}>", todo="Write <lora:name:0.8>."
        ) from error


def files_in(roots: Sequence[Path], endings: tuple[str, ...]) -> list[Path]:
    """Files of a kind below some folders."""
    return [path for root in roots for path in sorted(root.rglob("*")) if path.suffix.lower() in endings]


def file_named(paths: Iterable[Path], name: str) -> Path:
    """The file that a prompt calls so; raises UserError."""
    found = next((path for path in paths if path.stem == name), None)
    if found is None:
        raise UserError(
            "there is no LoRA of this name.",
            where=f"<lora:{name[:80]}>",
            todo="Look at the list of results.",
            code="no-such-file",
        )
    return found


def forget_old(folder: Path) -> None:
    """Keeps the newest pictures."""
    pictures = sorted(folder.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
    for path in pictures[:-KEPT]:
        path.unlink(missing_ok=True)
