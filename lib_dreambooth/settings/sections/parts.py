"""Which parts of the model are trained, how fast and for how long."""

from typing import Annotated

import msgspec

from lib_dreambooth.base.durations import Duration, percent
from lib_dreambooth.settings.conditions import SDXL, WHOLE, is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

THIS = is_set(".train")
START = Option(
    "Start Training at",
    "Nothing of this part moves before this point. 0 %, from the beginning, is usual.",
    units=("steps", "epochs", "percent"),
    when=THIS,
)


def rate_option(label: str, text: str, kohya: str = "", old: str = "") -> Option:
    """The rate of a part."""
    return Option(
        label,
        f"{text} 0: the Learning Rate. To leave the part as it is, untick it.",
        low=0,
        high=10,
        basic=True,
        when=THIS,
        inherits="rates.learning_rate",
        kohya=names(kohya),
        old=names(old),
    )


def stop_option(kohya: str = "", old: str = "") -> Option:
    """The point after which a part stays as it is."""
    return Option(
        "Stop Training at",
        "The part stays as it is from here on, and the memory for its gradients is given back. A text "
        "encoder is often stopped at half the run, before it overfits. 100 %: never.",
        units=("steps", "epochs", "percent"),
        when=THIS,
        kohya=names(kohya),
        old=names(old),
    )


class Unet(Section, frozen=True, kw_only=True):
    """The part that draws."""

    train: Annotated[
        bool,
        Option(
            "Train UNET",
            "Nearly always on. Off trains what words mean and leaves the drawing alone.",
            kohya=names("network_train_text_encoder_only"),
            old=names("train_unet"),
        ),
    ] = True
    rate: Annotated[
        float,
        rate_option(
            "UNET Learning Rate",
            "Rate of the UNet where it is to differ from the Learning Rate; 1e-4 is usual for LoRA, 1e-6 "
            "for whole weights.",
            "unet_lr",
            "lora_learning_rate",
        ),
    ] = 0.0
    start: Annotated[Duration, START] = percent(0)
    stop: Annotated[Duration, stop_option()] = percent(100)
    blocks: Annotated[
        tuple[str, ...],
        Option(
            "Blocks Trained",
            "For whole weights: patterns of block names such as up* or mid; the rest stays as it is. Empty: "
            "all.",
            when=THIS & WHOLE,
        ),
    ] = ()
    block_rates: Annotated[
        tuple[float, ...],
        Option(
            "Block LR Weights",
            "Factors on the rate for each block: 25 for SD 1.x and 2.x, 23 for SDXL, from input to output; "
            "0 leaves a block out. Empty: 1 everywhere.",
            low=0,
            high=1000,
            when=THIS,
            kohya=names("block_lr down_lr_weight mid_lr_weight up_lr_weight block_lr_zero_threshold"),
        ),
    ] = ()
    layer_rates: Annotated[
        dict[str, float],
        Option(
            "Rates by Layer",
            "Pattern of layer names to a factor on the rate, such as unet.mid*=0.5; the first that fits "
            "counts. For experiments; empty otherwise.",
            low=0,
            high=1000,
            lines=2,
            when=THIS,
        ),
    ] = msgspec.field(default_factory=dict)


class TextEncoder1(Section, frozen=True, kw_only=True):
    """The text encoder of SD 1.x and 2.x, and the first of SDXL."""

    train: Annotated[
        bool,
        Option(
            "Train Text Encoder",
            "Helps the trigger word to be understood, and is the first to overfit. With several hundred "
            "pictures or a style leave it off: captions are then encoded once, which is faster and needs "
            "less memory.",
            basic=True,
            kohya=names("network_train_unet_only train_text_encoder"),
            old=names("train_text_encoder"),
        ),
    ] = True
    rate: Annotated[
        float,
        rate_option(
            "Text Encoder Learning Rate",
            "A half to a tenth of the UNet's is usual.",
            "text_encoder_lr learning_rate_te learning_rate_te1",
            "txt_learning_rate lora_txt_learning_rate",
        ),
    ] = 5e-5
    start: Annotated[Duration, START] = percent(0)
    stop: Annotated[
        Duration,
        stop_option("stop_text_encoder_training", "stop_text_encoder"),
    ] = percent(100)


class TextEncoder2(Section, frozen=True, kw_only=True):
    """The second text encoder of SDXL."""

    train: Annotated[
        bool,
        Option(
            "Train Text Encoder 2",
            "The large second text encoder of SDXL. Rarely worth its memory.",
            when=SDXL,
            kohya=names("network_train_unet_only train_text_encoder"),
        ),
    ] = False
    rate: Annotated[
        float,
        Option(
            "Text Encoder 2 Learning Rate",
            "Rate of the second text encoder. 0: the Learning Rate. To leave the part as it is, untick it.",
            low=0,
            high=10,
            when=THIS & SDXL,
            inherits="rates.learning_rate",
            kohya=names("text_encoder_lr learning_rate_te2"),
        ),
    ] = 5e-5
    start: Annotated[Duration, START] = percent(0)
    stop: Annotated[Duration, stop_option()] = percent(100)


class WordsPart(Section, frozen=True, kw_only=True):
    """New words (textual inversion), alone or together with the rest."""

    train: Annotated[
        bool,
        Option(
            "Train Words",
            "Train the new words listed under Words. Alone it makes an embedding; with a network it is "
            "pivotal tuning.",
            basic=True,
        ),
    ] = False
    rate: Annotated[
        float,
        rate_option("Word Learning Rate", "Words need about twenty times the rate of a network."),
    ] = 2e-3
    start: Annotated[Duration, START] = percent(0)
    stop: Annotated[Duration, stop_option()] = percent(100)
    weight_decay: Annotated[
        float,
        Option(
            "Word Weight Decay",
            "Pulls words towards zero; the norm bound does the same job better.",
            low=0,
            high=10,
            when=THIS,
        ),
    ] = 0.0
    max_norm: Annotated[
        float,
        Option(
            "Word Norm Bound",
            "Rows of a word may grow to this many times the average length of the model's own words; a "
            "longer word drowns the rest of the prompt. 0: free.",
            low=0,
            high=100,
            when=THIS,
        ),
    ] = 1.5
    template: Annotated[
        str,
        Option(
            "Prompt Templates",
            "Captions: the pictures' own captions with the word in front. Object and Style: sentences such "
            "as a photo of WORD, in place of captions. File: lines of your own, [name] and [filewords] in "
            "them.",
            choices={"captions": "Captions", "object": "Object", "style": "Style", "file": "File"},
            when=THIS,
            kohya=names("use_object_template use_style_template"),
        ),
    ] = "captions"
    template_file: Annotated[
        str,
        Option(
            "Template File",
            "A text file with one template a line; [name] is where the word stands, [filewords] the caption.",
            picks="file",
            when=THIS & is_(".template", "file"),
        ),
    ] = ""


class Parts(Section, frozen=True, kw_only=True):
    """What is trained, each part with its rate, start and stop."""

    unet: Unet = Unet()
    text_encoder_1: TextEncoder1 = TextEncoder1()
    text_encoder_2: TextEncoder2 = TextEncoder2()
    words: WordsPart = WordsPart()
