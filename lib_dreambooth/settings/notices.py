"""What a user should know about settings that are allowed: without effect, or known to go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lib_dreambooth.settings.convert import number_shown, shown
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import absolute, applies, entries, label
from lib_dreambooth.settings.meaning import (
    MODEL_PARTS,
    is_adapter,
    made,
    network_scale,
    rate_of,
    rate_scale,
    share_of_run,
    trained_parts,
)
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import PRESET, Sourced

FINDS_ITS_RATE = ("Prodigy", "DAdapt")
# Rate x alpha / rank at which LoRA is known to diverge: 1e-3 with alpha equal to rank did, 1e-4 does not.
DIVERGES_FROM = {"Adam": 5e-4, "Lion": 1e-4}
# Rates of whole weights at which models are known to break.
WHOLE_DIVERGES_FROM = {"Adam": 2e-5, "Lion": 1e-5}
HARDLY_LEARNS_BELOW = 2e-6
# Networks that some hosts do not read, as people call them.
UNREAD_KINDS = {"ia3": "(IA)3", "oft": "OFT"}


@dataclass(frozen=True)
class Notice:
    """A warning: `where` is a path, `code` is stable and meant for programs."""

    code: str
    where: str
    what: str
    todo: str = ""

    def sentence(self) -> str:
        """Everything in one line."""
        return " ".join(f"{self.where}: {self.what} {self.todo}".split())

    def to_json(self) -> dict[str, str]:
        """The form of the API and `--json`."""
        return {"code": self.code, "where": self.where, "what": self.what, "todo": self.todo}


def notices(sourced: Sourced, facts: Facts) -> list[Notice]:
    """Everything worth a warning in a run."""
    run = sourced.run
    return [
        *without_effect(sourced, facts),
        *divergence(run),
        *doubled(run),
        *never_due(run, facts),
        *host(run, facts),
        *untried(run),
    ]


def without_effect(sourced: Sourced, facts: Facts) -> Iterator[Notice]:
    """Settings that differ from their default and do nothing in this run.

    What only a preset set is left out: nobody asked for it by name.
    """
    run, known = sourced.run, facts.known()
    for path, field, value in entries(run):
        when = field.option.when
        if sourced.source(path).startswith(PRESET):
            continue
        if value != field.default and not applies(when, run, path, known):
            reason = when.sentence(labeller(path))
            what = (
                f"{field.option.label} = {shown(value)} has no effect in this run; it applies where {reason}."
            )
            yield Notice("no-effect", path, what)


def labeller(here: str) -> Callable[[str], str]:
    """Names the settings that a condition of the setting at `here` rests on."""
    return lambda path: label(absolute(path, here))


def family_of(optimizer: str) -> str:
    """The kind of step an optimizer takes: "Lion", or "Adam" for all others."""
    return "Lion" if "lion" in optimizer.lower() else "Adam"


def finds_its_rate(optimizer: str) -> bool:
    """Whether the rates are factors on a rate that the optimizer finds."""
    return any(optimizer.lower().startswith(name.lower()) for name in FINDS_ITS_RATE)


def divergence(run: Run) -> Iterator[Notice]:
    """Rates known to burn, or to do nothing."""
    factor = rate_scale(run)
    for part in trained_parts(run):
        path = f"parts.{part}.rate" if getattr(run.parts, part).rate else "rates.learning_rate"
        rate = rate_of(run, part) * factor
        if finds_its_rate(run.optimizer.name):
            yield from adaptive_rate(run, path, rate, part)
        elif part in MODEL_PARTS:
            yield from network_rate(run, path, rate) if is_adapter(run) else whole_rate(run, path, rate)


def adaptive_rate(run: Run, path: str, rate: float, part: str) -> Iterator[Notice]:
    """Optimizers that find their rate want factors near 1."""
    if not 0.1 <= rate <= 5 and rate > 0:
        yield Notice(
            "rate",
            path,
            f"{run.optimizer.name} finds the rate itself; {number_shown(rate)} is only a factor on it.",
            "Set it to 1.",
        )


def network_rate(run: Run, path: str, rate: float) -> Iterator[Notice]:
    """Rate, alpha and rank together."""
    if run.network.kind != "lora":
        return
    moved = rate * network_scale(run)
    product = (
        f"rate x alpha / rank = {number_shown(rate)} x {number_shown(run.network.alpha or run.network.rank)}"
        f" / {run.network.rank}"
    )
    if moved >= DIVERGES_FROM[family_of(run.optimizer.name)]:
        yield Notice(
            "divergence",
            path,
            f"{product} is known to diverge: pictures burn or turn to noise.",
            "Lower the rate or alpha to a fifth.",
        )
    elif 0 < moved < HARDLY_LEARNS_BELOW:
        yield Notice("rate", path, f"{product} hardly learns anything.", "Raise the rate or alpha.")


def whole_rate(run: Run, path: str, rate: float) -> Iterator[Notice]:
    """The rate of whole weights."""
    if rate >= WHOLE_DIVERGES_FROM[family_of(run.optimizer.name)]:
        yield Notice(
            "divergence",
            path,
            f"a rate of {number_shown(rate)} is for networks; whole weights are known to break at it.",
            "Give 1e-6 to 5e-6.",
        )


def doubled(run: Run) -> Iterator[Notice]:
    """Two settings for one end."""
    if run.loss.min_snr_gamma and run.loss.debiased:
        yield Notice(
            "doubled",
            "loss.debiased",
            "Min SNR and debiased estimation both weigh by noise.",
            "Use one of them.",
        )
    if run.noise.offset and run.noise.pyramid_levels:
        yield Notice(
            "doubled",
            "noise.pyramid_levels",
            "offset noise and multires noise serve the same end and add up.",
            "Use one of them.",
        )
    seen: set[tuple[str, str]] = set()
    for number, concept in enumerate(run.concepts):
        if concept.folder and (concept.folder, concept.role) in seen:
            yield Notice(
                "doubled",
                f"concepts.{number}.folder",
                f"{concept.folder} is listed twice; its pictures are seen twice as often.",
            )
        seen.add((concept.folder, concept.role))


def never_due(run: Run, facts: Facts) -> Iterator[Notice]:
    """Intervals longer than the run."""
    for path, interval in (("saving.every", run.saving.every), ("previews.every", run.previews.every)):
        share = share_of_run(interval, run, facts)
        if share is not None and share > 1:
            what = f"{interval} is longer than the run ({run.length.train_for}): it never falls due."
            yield Notice("never-due", path, what)


def host(run: Run, facts: Facts) -> Iterator[Notice]:
    """What this host cannot read."""
    if facts.reads is None or "network" not in made(run):
        return
    kind = run.network.kind
    if run.saving.words_as == "bundle" and run.parts.words.train and "bundle" not in facts.reads:
        yield Notice(
            "host",
            "saving.words_as",
            "this WebUI does not read words inside a LoRA file.",
            "Save a pair of files.",
        )
    if kind in UNREAD_KINDS and kind not in facts.reads:
        yield Notice(
            "host",
            "network.kind",
            f"this WebUI does not read {UNREAD_KINDS[kind]} files: they would change nothing in it.",
            "Train a LoRA, or merge the file into a checkpoint.",
        )
    if run.network.decompose and "dora" not in facts.reads:
        yield Notice(
            "host",
            "network.decompose",
            "this WebUI reads such a file without its DoRA part, so that pictures differ from the previews.",
            "Train without DoRA, or merge the file into a checkpoint.",
        )


def untried(run: Run) -> Iterator[Notice]:
    """What is asked for and was never seen at work."""
    if run.memory.cuda_graphs == "on":
        yield Notice(
            "untried",
            "memory.cuda_graphs",
            "recording steps was never tried on a card yet.",
            "Leave it at auto.",
        )
