"""What this machine has in place of the files that a recipe names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_OFFERS = 3
ALIKE_FROM = 0.6
# File names that programs give the models they load by these addresses.
FILES_OF_ADDRESS = {
    "runwayml/stable-diffusion-v1-5": ("v1-5-pruned-emaonly", "v1-5-pruned"),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("v1-5-pruned-emaonly", "v1-5-pruned"),
    "compvis/stable-diffusion-v1-4": ("sd-v1-4", "sd-v1-4-full-ema"),
    "stabilityai/stable-diffusion-2": ("768-v-ema",),
    "stabilityai/stable-diffusion-2-base": ("512-base-ema",),
    "stabilityai/stable-diffusion-2-1": ("v2-1_768-ema-pruned", "v2-1_768-nonema-pruned"),
    "stabilityai/stable-diffusion-2-1-base": ("v2-1_512-ema-pruned", "v2-1_512-nonema-pruned"),
    "stabilityai/stable-diffusion-xl-base-1.0": ("sd_xl_base_1.0", "sd_xl_base_1.0_0.9vae"),
}


@dataclass(frozen=True)
class Candidate:
    """A file that is here, with the hashes known of it (of whatever kind and length, lower case)."""

    path: str
    hashes: tuple[str, ...] = ()


def nowhere(path: str) -> str:
    """Finds nothing."""
    return ""


@dataclass(frozen=True)
class Here:
    """What is on this machine. `locate` gives the path under which a named file or folder exists, or ""."""

    checkpoints: tuple[Candidate, ...] = ()
    vaes: tuple[Candidate, ...] = ()
    loras: tuple[Candidate, ...] = ()
    embeddings: tuple[Candidate, ...] = ()
    locate: Callable[[str], str] = nowhere

    def of(self, kind: str) -> tuple[Candidate, ...]:
        """The candidates of a kind: checkpoint, vae, lora or embedding; none of anything else."""
        table = {
            "checkpoint": self.checkpoints,
            "vae": self.vaes,
            "lora": self.loras,
            "embedding": self.embeddings,
        }
        return table.get(kind, ())


@dataclass(frozen=True)
class Match:
    """How a named file was found: `path` is empty where it was not; `offers` are the likely ones then."""

    path: str
    how: str
    offers: tuple[str, ...] = ()


def find(here: Here, kind: str, name: str, hashes: Sequence[str] = ()) -> Match:
    """The file that a recipe means by a path and hashes."""
    found = here.locate(name) if name else ""
    if found:
        return Match(found, "path")
    candidates = here.of(kind)
    wanted = {text.lower() for text in hashes if text}
    for candidate in candidates:
        if wanted & set(candidate.hashes):
            return Match(candidate.path, "hash")
    named = base_name(name).casefold()
    same = [c.path for c in candidates if named and base_name(c.path).casefold() == named]
    if len(same) == 1:
        return Match(same[0], "name")
    return Match("", "", tuple(same[:MOST_OFFERS]) or alike(name, [c.path for c in candidates]))


def alike(name: str, paths: Sequence[str]) -> tuple[str, ...]:
    """The paths whose file names are most like a name, or like what its address is usually called."""
    stems = [stem_of(name), *FILES_OF_ADDRESS.get(name.strip().lower(), ())]
    scored = []
    for path in paths:
        other = stem_of(path)
        score = max(
            difflib.SequenceMatcher(None, stem.casefold(), other.casefold()).ratio() for stem in stems
        )
        if score >= ALIKE_FROM:
            scored.append((-score, path))
    return tuple(path for _, path in sorted(scored)[:MOST_OFFERS])


def base_name(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[\\/]", path.strip().rstrip("\\/"))[-1]


def stem_of(path: str) -> str:
    """The last part without its ending."""
    name = base_name(path)
    return re.sub(r"\.(safetensors|ckpt|pt|pth|bin)$", "", name, flags=re.IGNORECASE)
