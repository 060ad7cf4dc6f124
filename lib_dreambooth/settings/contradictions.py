"""Settings that cannot be meant together, each with a sentence and a way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.conditions import UNET
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import applies, entries, label, value_at
from lib_dreambooth.settings.meaning import PARTS, is_adapter, share_of_run, trains_text_encoder
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sections.loss import MASKED
from lib_dreambooth.settings.sections.rates import FALLING

PACKAGE_OF_OPTIMIZER = {
    "AdamW8bit": "bitsandbytes",
    "PagedAdamW8bit": "bitsandbytes",
    "Lion8bit": "bitsandbytes",
    "PagedLion8bit": "bitsandbytes",
    "AdamMini": "pytorch_optimizer",
    "CAME": "pytorch_optimizer",
    "AdamWScheduleFree": "pytorch_optimizer",
    "RAdamScheduleFree": "pytorch_optimizer",
    "SGDScheduleFree": "pytorch_optimizer",
}
# Numbers of blocks in block lists, by family.
NUM_BLOCKS = {"sd1": 25, "sd2": 25, "sdxl": 23}
BLOCK_LISTS = (
    "network.block_ranks",
    "network.block_alphas",
    "network.block_conv_ranks",
    "network.block_conv_alphas",
    "parts.unet.block_rates",
)
# Shares of a run are compared with a little room for rounding.
ROOM = 1e-9


@dataclass(frozen=True)
class Contradiction:
    """`path` is where to say it; `also` the other settings it rests on."""

    path: str
    what: str
    todo: str
    also: tuple[str, ...] = ()


Rule = Callable[[Run, Facts], Iterator[Contradiction]]


def contradictions(run: Run, facts: Facts) -> list[Contradiction]:
    """Everything in a run that contradicts itself or what is known."""
    return [found for rule in RULES for found in rule(run, facts)]


def lengths_need_an_end(run: Run, facts: Facts) -> Iterator[Contradiction]:
    if run.length.train_for.unit != "until stopped":
        return
    end = ("length.train_for",)
    if run.rates.schedule in FALLING and run.rates.schedule != "inverse_sqrt":
        yield Contradiction(
            "rates.schedule",
            f"{run.rates.schedule} falls towards the end, but the run goes on until stopped.",
            "Choose constant, or give the run a length.",
            end,
        )
    for path, field, value in entries(run):
        whole = path.endswith((".start", ".stop")) and value in (
            Duration(0, "percent"),
            Duration(100, "percent"),
        )
        is_share = field.kind == "duration" and value.unit == "percent" and value.amount > 0
        if is_share and not whole and applies(field.option.when, run, path, facts.known()):
            yield Contradiction(
                path,
                f"{value} is a share of the run, but the run goes on until stopped.",
                "Give steps or epochs, or give the run a length.",
                end,
            )


def warm_up_fits(run: Run, facts: Facts) -> Iterator[Contradiction]:
    warmup = share_of_run(run.rates.warmup, run, facts)
    if warmup is None:
        return
    also = ("length.train_for",)
    if warmup > 1 + ROOM:
        yield Contradiction(
            "rates.warmup",
            f"the warm-up ({run.rates.warmup}) is longer than the run ({run.length.train_for}).",
            "Shorten the warm-up; a twentieth of the run is plenty.",
            also,
        )
    if run.rates.schedule == "warmup_stable_decay":
        decay = share_of_run(run.rates.decay, run, facts)
        if decay is not None and warmup <= 1 + ROOM and warmup + decay > 1 + ROOM:
            yield Contradiction(
                "rates.decay",
                f"warm-up ({run.rates.warmup}) and decay ({run.rates.decay}) are longer than the run.",
                "Shorten one of them.",
                (*also, "rates.warmup", "rates.schedule"),
            )


def parts_start_before_they_stop(run: Run, facts: Facts) -> Iterator[Contradiction]:
    end = run.length.train_for
    for part in PARTS:
        if not value_at(run, f"parts.{part}.train"):
            continue
        start, stop = f"parts.{part}.start", f"parts.{part}.stop"
        start_share = share_of_run(value_at(run, start), run, facts)
        stop_share = share_of_run(value_at(run, stop), run, facts)
        also = (f"parts.{part}.train", "length.train_for")
        if stop_share is not None and stop_share > 1 + ROOM:
            yield Contradiction(
                stop,
                f"the stop point ({value_at(run, stop)}) lies after the end of the run ({end}).",
                "Give an earlier one, or 100 % to train this part to the end.",
                also,
            )
        if start_share is not None and start_share >= 1 - ROOM:
            yield Contradiction(
                start,
                f"the part would start ({value_at(run, start)}) when the run is over ({end}).",
                "Give an earlier start, or untick the part.",
                also,
            )
        elif start_share is not None and stop_share is not None and stop_share <= start_share + ROOM:
            yield Contradiction(
                stop,
                f"the part stops ({value_at(run, stop)}) before it starts ({value_at(run, start)}).",
                "Put the stop after the start, or untick the part.",
                (*also, start),
            )


def average_is_kept(run: Run, facts: Facts) -> Iterator[Contradiction]:
    ema = run.ema
    if ema.use and ema.save == "live" and ema.preview == "live":
        yield Contradiction(
            "ema.save",
            "an average is computed, but neither a file nor a preview takes it.",
            "Save the average, or turn Use EMA off.",
            ("ema.use", "ema.preview"),
        )


def something_is_written(run: Run, facts: Facts) -> Iterator[Contradiction]:
    saving = run.saving
    during = saving.during if not saving.every.is_never else ()
    if not any(kind in (*during, *saving.at_end) for kind in ("result", "checkpoint", "diffusers")):
        yield Contradiction(
            "saving.at_end",
            "no file for use would be written, neither during training nor at the end.",
            'Add "result".',
            ("saving.during", "saving.every"),
        )


def optimizer_is_here(run: Run, facts: Facts) -> Iterator[Contradiction]:
    package = PACKAGE_OF_OPTIMIZER.get(run.optimizer.name)
    if package and facts.packages is not None and package not in facts.packages:
        plain = run.optimizer.name.removeprefix("Paged").removesuffix("8bit")
        other = "AdamW" if package == "pytorch_optimizer" else plain
        yield Contradiction(
            "optimizer.name",
            f"{run.optimizer.name} needs the package {package}, which is not installed here.",
            f"Choose {other}, or install {package}.",
        )


def ranks_fit_the_layers(run: Run, facts: Facts) -> Iterator[Contradiction]:
    width = facts.smallest_width(run.model.family)
    if not width or run.network.kind not in ("lora", "glora"):
        return
    ranks = {
        "network.rank": (run.network.rank,),
        "network.text_rank": (run.network.text_rank,) if trains_text_encoder(run) else (),
        "network.conv_rank": (run.network.conv_rank,),
        "network.block_ranks": run.network.block_ranks,
        "network.block_conv_ranks": run.network.block_conv_ranks,
    }
    for path, values in ranks.items():
        largest = max(values, default=0)
        if largest > width:
            yield Contradiction(
                path,
                f"a rank of {largest} is larger than the narrowest layer ({width}).",
                f"Give at most {width}; 8 to 32 is enough for nearly everything.",
                ("network.kind",),
            )


def block_lists_fit(run: Run, facts: Facts) -> Iterator[Contradiction]:
    family = facts.family or run.model.family
    counts = {NUM_BLOCKS[family]} if family in NUM_BLOCKS else set(NUM_BLOCKS.values())
    for path in BLOCK_LISTS:
        given = len(value_at(run, path))
        if given and given not in counts:
            wanted = " or ".join(str(count) for count in sorted(counts, reverse=True))
            yield Contradiction(
                path,
                f"the list has {given} numbers, but the UNet has {wanted} blocks.",
                "Give one number for each block, or none.",
                ("model.family",),
            )


def noise_levels_are_in_order(run: Run, facts: Facts) -> Iterator[Contradiction]:
    noise = run.noise
    if noise.first_timestep >= noise.last_timestep:
        yield Contradiction(
            "noise.last_timestep",
            f"no noise level lies between {noise.first_timestep} and {noise.last_timestep}.",
            f"Give more than {noise.first_timestep}.",
            ("noise.first_timestep",),
        )


def buckets_fit_the_resolution(run: Run, facts: Facts) -> Iterator[Contradiction]:
    pictures = run.pictures
    size = pictures.resolution
    if pictures.buckets and 0 < pictures.bucket_max < pictures.bucket_min:
        yield Contradiction(
            "pictures.bucket_max",
            f"the longest side ({pictures.bucket_max}) is below the shortest ({pictures.bucket_min}).",
            "Exchange them, or give 0 for automatic limits.",
            ("pictures.bucket_min", "pictures.buckets"),
        )
        return
    if size.is_auto:
        return
    also = ("pictures.resolution", "pictures.buckets")
    if pictures.buckets and pictures.bucket_min > min(size.width, size.height):
        yield Contradiction(
            "pictures.bucket_min",
            f"the shortest side of buckets ({pictures.bucket_min}) is above the resolution ({size}).",
            "Give a smaller one, or 0 for half the resolution.",
            also,
        )
    if pictures.buckets and 0 < pictures.bucket_max < max(size.width, size.height):
        yield Contradiction(
            "pictures.bucket_max",
            f"the longest side of buckets ({pictures.bucket_max}) is below the resolution ({size}).",
            "Give a larger one, or 0 for twice the resolution.",
            also,
        )
    for side in (size.width, size.height):
        if side % 8:
            yield Contradiction(
                "pictures.resolution",
                f"{side} is not a multiple of 8, as the model needs it.",
                f"Take {max(64, side // 8 * 8)} or {side // 8 * 8 + 8}.",
            )
            return


def bucket_step_is_possible(run: Run, facts: Facts) -> Iterator[Contradiction]:
    step = run.pictures.bucket_step
    if run.pictures.buckets and step % 8:
        yield Contradiction(
            "pictures.bucket_step",
            f"{step} is not a multiple of 8, as the model needs it.",
            f"Take {step // 8 * 8} or {step // 8 * 8 + 8}.",
            ("pictures.buckets",),
        )


def face_zoom_is_in_order(run: Run, facts: Facts) -> Iterator[Contradiction]:
    pictures = run.pictures
    if pictures.crop == "face" and pictures.face_zoom_min > pictures.face_zoom_max:
        yield Contradiction(
            "pictures.face_zoom_max",
            f"the largest zoom ({pictures.face_zoom_max}) is below the smallest ({pictures.face_zoom_min}).",
            "Exchange them.",
            ("pictures.face_zoom_min", "pictures.crop"),
        )


def caches_are_possible(run: Run, facts: Facts) -> Iterator[Contradiction]:
    memory, pictures = run.memory, run.pictures
    if memory.cache_latents in ("memory", "disk"):
        fresh_crops = pictures.crop in ("random", "face") and pictures.crops_per_picture == 0
        for path, is_on, undo in (
            ("pictures.colour_change", pictures.colour_change != "off", "turn the colour changes off"),
            ("pictures.crops_per_picture", fresh_crops, "give a number of crops per picture"),
        ):
            if is_on:
                yield Contradiction(
                    "memory.cache_latents",
                    f"pictures that change at every visit ({label(path)}) cannot be encoded ahead.",
                    f"Set the cache to auto or off, or {undo}.",
                    (path, "pictures.crop"),
                )
    moved = trains_text_encoder(run) or run.parts.words.train
    if memory.cache_text in ("memory", "disk") and moved:
        yield Contradiction(
            "memory.cache_text",
            "captions cannot be encoded ahead while the text encoder or words are trained.",
            "Set the cache to auto or off, or train neither.",
            ("parts.text_encoder_1.train", "parts.text_encoder_2.train", "parts.words.train"),
        )


def fused_backward_is_possible(run: Run, facts: Facts) -> Iterator[Contradiction]:
    if run.memory.fused_backward != "on" or is_adapter(run):
        return
    also = ("memory.fused_backward", "network.kind")
    if run.length.accumulation > 1 and run.memory.gradients != "system":
        yield Contradiction(
            "length.accumulation",
            "the fused backward pass keeps no gradients on the card that could be accumulated.",
            'Set Gradients Kept in to "system", or accumulation to 1.',
            (*also, "memory.gradients"),
        )
    if run.optimizer.max_grad_norm > 0:
        yield Contradiction(
            "optimizer.max_grad_norm",
            "the fused backward pass never has all gradients at once, so they cannot be clipped together.",
            "Set it to 0, or turn the fused backward pass off.",
            also,
        )
    if run.precision.mixed == "fp16":
        yield Contradiction(
            "precision.mixed",
            "fp16 needs loss scaling, which the fused backward pass cannot undo in time.",
            "Choose bf16, or turn the fused backward pass off.",
            also,
        )


def answers_of_the_base_can_be_stored(run: Run, facts: Facts) -> Iterator[Contradiction]:
    """Whole weights have no untouched model beside them: it is asked for all steps before the first."""
    if is_adapter(run) or run.length.train_for.unit != "until stopped":
        return
    asking = [f"concepts.{n}.target" for n, concept in enumerate(run.concepts) if concept.target == "base"]
    if run.class_pictures.relation != "off" and run.class_pictures.target == "base":
        asking.append("class_pictures.target")
    if run.loss.outside_base > 0 and applies(MASKED, run, ""):
        asking.append("loss.outside_base")
    for path in asking:
        yield Contradiction(
            path,
            "the base model's answers are stored before whole weights move, but this run has no end.",
            "Give the run a length, or train a network.",
            ("length.train_for", "network.kind"),
        )


def half_weights_need_half_arithmetic(run: Run, facts: Facts) -> Iterator[Contradiction]:
    if run.precision.mixed != "no":
        return
    also = ("precision.mixed",)
    if run.precision.weights == "half":
        yield Contradiction(
            "precision.weights",
            "half-precision weights need half-precision arithmetic.",
            "Choose fp16 or bf16 under Mixed Precision, or fp32 weights.",
            also,
        )
    if run.precision.frozen in ("fp8", "fp8 unet") and (is_adapter(run) or not applies(UNET, run, "")):
        yield Contradiction(
            "precision.frozen",
            "fp8 weights need half-precision arithmetic.",
            "Choose fp16 or bf16 under Mixed Precision.",
            also,
        )


def class_pictures_have_a_number(run: Run, facts: Facts) -> Iterator[Contradiction]:
    wanted = run.class_pictures
    if wanted.relation != "off" and wanted.draw and not wanted.per_picture and not wanted.total:
        yield Contradiction(
            "class_pictures.per_picture",
            "class pictures are to be drawn, but none are asked for.",
            "Say how many per picture or in total, or untick the drawing.",
            ("class_pictures.draw", "class_pictures.total", "class_pictures.relation"),
        )


def pieces_can_be_read(run: Run, facts: Facts) -> Iterator[Contradiction]:
    if run.rates.schedule != "piecewise_constant":
        return
    try:
        rate_pieces(run.rates.pieces)
    except ValueError:
        yield Contradiction(
            "rates.pieces",
            f'"{run.rates.pieces}" is not a list of factors with steps.',
            "Write it as in 1:500,0.3:1500,0.1, with rising steps and the last factor alone.",
            ("rates.schedule",),
        )


def rate_pieces(text: str) -> list[tuple[float, int | None]]:
    """Factors on the rate with the step each lasts to, None for the last; raises ValueError."""
    found: list[tuple[float, int | None]] = []
    *parts, last = text.split(",")
    for part in parts:
        factor, _, step = part.partition(":")
        end = int(step)
        if end <= max((known or 0 for _, known in found), default=0):
            raise ValueError(text)
        found.append((float(factor), end))
    found.append((float(last), None))
    if not all(0 <= factor <= 1000 for factor, _ in found):
        raise ValueError(text)
    return found


def words_are_named(run: Run, facts: Facts) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for number, word in enumerate(run.words):
        path = f"words.{number}.name"
        if not word.name.strip():
            yield Contradiction(
                path, "the word has no name.", "Give it one that the model does not know yet."
            )
        elif len(word.name.split()) > 1 or "," in word.name:
            yield Contradiction(path, f'"{word.name}" is more than one word.', "Join it: new-word.")
        elif word.name.lower() in seen:
            yield Contradiction(path, f'"{word.name}" is listed twice.', "Give each word a name of its own.")
        seen.add(word.name.lower())
    if run.parts.words.template == "file" and run.parts.words.train and not run.parts.words.template_file:
        yield Contradiction(
            "parts.words.template_file",
            "templates are to come from a file, but none is named.",
            "Name the file, or choose captions.",
            ("parts.words.template", "parts.words.train"),
        )


def file_is_of_the_family(run: Run, facts: Facts) -> Iterator[Contradiction]:
    if facts.family and run.model.family not in ("auto", facts.family):
        yield Contradiction(
            "model.family",
            f"the source checkpoint is of the family {facts.family}, not {run.model.family}.",
            "Choose another file, or auto.",
            ("model.base",),
        )


RULES: tuple[Rule, ...] = (
    file_is_of_the_family,
    buckets_fit_the_resolution,
    bucket_step_is_possible,
    face_zoom_is_in_order,
    class_pictures_have_a_number,
    ranks_fit_the_layers,
    block_lists_fit,
    parts_start_before_they_stop,
    words_are_named,
    optimizer_is_here,
    warm_up_fits,
    pieces_can_be_read,
    average_is_kept,
    noise_levels_are_in_order,
    half_weights_need_half_arithmetic,
    caches_are_possible,
    fused_backward_is_possible,
    answers_of_the_base_can_be_stored,
    lengths_need_an_end,
    something_is_written,
)
