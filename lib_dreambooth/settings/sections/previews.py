"""Pictures drawn during training."""

from typing import Annotated

from lib_dreambooth.base.durations import Duration, percent
from lib_dreambooth.settings.conditions import ADAPTER, PREVIEWS, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section
from lib_dreambooth.settings.values import AUTO_SIZE, Size

SAMPLERS = {
    "euler a": "Euler a",
    "euler": "Euler",
    "ddim": "DDIM",
    "dpm++ 2m karras": "DPM++ 2M Karras",
    "unipc": "UniPC",
}


class Previews(Section, frozen=True, kw_only=True):
    """Pictures drawn on the way, with the same noise each time, so that only the training shows."""

    every: Annotated[
        Duration,
        Option(
            "Save Preview(s) Frequency",
            "How often previews are drawn. They never change what is trained, and a failed one costs "
            "nothing.",
            units=("steps", "epochs", "percent", "minutes"),
            words=("never",),
            basic=True,
            kohya=names("sample_every_n_epochs sample_every_n_steps"),
            old=names("save_preview_every"),
        ),
    ] = percent(20)
    at_start: Annotated[
        bool,
        Option(
            "Preview Before Training",
            "Draw the untouched model first, to compare with.",
            kohya=names("sample_at_first"),
        ),
    ] = True
    at_end: Annotated[
        bool,
        Option(
            "Preview After Training",
            "Draw the finished result once more, with every prompt.",
        ),
    ] = True
    prompts: Annotated[
        tuple[str, ...],
        Option(
            "Sample Prompts",
            "Prompts beside those of the concepts, one a line, with kohya's switches where wanted (--n "
            "negative, --w, --h, --d seed, --s steps, --l guidance). None anywhere: useful ones are made "
            "from the tokens, or from captions where there are none.",
            lines=4,
            one_a_line=True,
            basic=True,
            when=PREVIEWS,
        ),
    ] = ()
    file: Annotated[
        str,
        Option(
            "Sample Prompt Template File",
            "A file with prompts: .txt with one a line, or kohya's .toml or .json.",
            picks="file",
            when=PREVIEWS,
            kohya=names("sample_prompts"),
            old=names("save_sample_template"),
        ),
    ] = ""
    negative: Annotated[
        str,
        Option(
            "Sample Negative Prompt",
            "For prompts without one of their own. Take the one you generate with, so that previews look "
            "like your pictures.",
            when=PREVIEWS,
            old=names("save_sample_negative_prompt"),
        ),
    ] = ""
    count: Annotated[
        int,
        Option(
            "Number of Samples to Generate",
            "Pictures per prompt, each with a seed of its own. 1 is enough to watch, 4 to judge.",
            low=1,
            high=100,
            when=PREVIEWS,
            old=names("n_save_sample"),
        ),
    ] = 1
    seed: Annotated[
        int,
        Option(
            "Sample Seed",
            "The first seed; further pictures count up. -1: drawn once for the run and then kept.",
            low=-1,
            high=2**32 - 1,
            when=PREVIEWS,
            old=names("sample_seed"),
        ),
    ] = 420420
    size: Annotated[
        Size,
        Option(
            "Sample Size",
            "Size of the previews. Auto: the training resolution, which shows best what was learned.",
            unit="px",
            low=64,
            high=4096,
            when=PREVIEWS,
        ),
    ] = AUTO_SIZE
    steps: Annotated[
        int,
        Option(
            "Sample Steps",
            "Sampling steps of each preview; 20 are enough to judge.",
            unit="steps",
            low=1,
            high=500,
            when=PREVIEWS,
            old=names("save_infer_steps"),
        ),
    ] = 20
    guidance: Annotated[
        float,
        Option(
            "Sample CFG Scale",
            "How closely previews keep to their prompt. Take the value you generate with; 7 is usual.",
            low=0,
            high=30,
            when=PREVIEWS,
            old=names("save_guidance_scale"),
        ),
    ] = 7.0
    sampler: Annotated[
        str,
        Option(
            "Sample Sampler",
            "The sampler that draws previews; training does not depend on it. Take the one you generate "
            "with.",
            choices=SAMPLERS,
            when=PREVIEWS,
            kohya=names("sample_sampler"),
        ),
    ] = "euler a"
    batch_size: Annotated[
        int,
        Option(
            "Sample Batch Size",
            "How many are drawn at once; only speed and memory depend on it.",
            low=1,
            high=100,
            when=PREVIEWS,
            old=names("sample_batch_size"),
        ),
    ] = 1
    strength: Annotated[
        float,
        Option(
            "Preview Strength",
            "The weight the network is applied with, as in <lora:name:1>.",
            low=-10,
            high=10,
            when=PREVIEWS & ADAPTER,
            old=names("lora_weight"),
        ),
    ] = 1.0
    sanity_prompt: Annotated[
        str,
        Option(
            "Sanity Sample Prompt",
            "A prompt without the subject, always with the same seed: it shows when the model forgets the "
            "rest.",
            when=PREVIEWS,
            old=names("sanity_prompt"),
        ),
    ] = ""
    sanity_seed: Annotated[
        int,
        Option(
            "Sanity Sample Seed",
            "The seed of that picture, the same every time.",
            low=0,
            high=2**32 - 1,
            when=PREVIEWS & is_set("previews.sanity_prompt"),
            old=names("sanity_seed"),
        ),
    ] = 420420
    nearest: Annotated[
        bool,
        Option(
            "Nearest Training Picture",
            "Show beside each preview the training picture most like it, so that copying is seen.",
            when=PREVIEWS,
        ),
    ] = False
