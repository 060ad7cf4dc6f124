"""What is written, when, and how much of it is kept."""

from typing import Annotated

from lib_dreambooth.base.durations import AUTO, Duration, percent
from lib_dreambooth.settings.conditions import ADAPTER, WORDS, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

KINDS = {
    "result": "What is trained (LoRA, embedding or checkpoint)",
    "checkpoint": "A whole checkpoint, with the LoRA merged in",
    "diffusers": "A diffusers folder",
    "state": "A state to go on from",
}
PAIRED = WORDS & (
    is_set("parts.unet.train") | is_set("parts.text_encoder_1.train") | is_set("parts.text_encoder_2.train")
)


class Saving(Section, frozen=True, kw_only=True):
    """What is written when, and how much is kept. Every file gets a name of its own."""

    every: Annotated[
        Duration,
        Option(
            "Save Checkpoint Frequency",
            "How often files are written during training. Counted over all runs on this model, so that "
            "going on keeps the rhythm.",
            units=("steps", "epochs", "percent", "minutes"),
            words=("never",),
            basic=True,
            kohya=names("save_every_n_epochs save_every_n_steps save_n_epoch_ratio"),
            old=names("save_embedding_every save_model_frequency save_use_epochs save_use_global_counts"),
        ),
    ] = percent(20)
    during: Annotated[
        tuple[str, ...],
        Option(
            "Save During Training",
            "What is written at those times. A LoRA is small; a whole checkpoint takes gigabytes each time.",
            choices=KINDS,
            when=is_set("saving.every"),
            kohya=names("save_state"),
            old=names("save_ckpt_during save_lora_during save_state_during save_safetensors"),
        ),
    ] = ("result",)
    at_end: Annotated[
        tuple[str, ...],
        Option(
            "Save After Training",
            "What is written at the end. With a state the run can go on later with more steps.",
            choices=KINDS,
            kohya=names("save_state_on_train_end"),
            old=names("save_ckpt_after save_lora_after save_state_after"),
        ),
    ] = ("result", "state")
    on_cancel: Annotated[
        tuple[str, ...],
        Option(
            "Save on Cancel",
            "What is written when you press Cancel. Cancel without saving writes nothing.",
            choices=KINDS,
            old=names("save_ckpt_cancel save_lora_cancel save_state_cancel"),
        ),
    ] = ("result", "state")
    keep: Annotated[
        int,
        Option(
            "Files Kept",
            "Only the last so many of the files written during training are kept. 0: all.",
            low=0,
            high=100000,
            when=is_set("saving.every"),
            kohya=names("save_last_n_epochs save_last_n_steps"),
        ),
    ] = 0
    state_every: Annotated[
        Duration,
        Option(
            "Save State Every",
            "How often a state is written that a run can go on from after a crash. Auto: every 5 minutes, "
            "for whole weights every 30.",
            units=("steps", "epochs", "percent", "minutes"),
            words=("auto", "never"),
            kohya=names("save_state"),
            old=names("save_state_during"),
        ),
    ] = AUTO
    keep_states: Annotated[
        int,
        Option(
            "States Kept",
            "Older states are removed. A state of whole weights is three to four times the model's size.",
            low=1,
            high=1000,
            kohya=names("save_last_n_epochs_state save_last_n_steps_state"),
        ),
    ] = 1
    precision: Annotated[
        str,
        Option(
            "Half Model",
            "Numbers in the files for use. fp16 is what nearly all files have; a state is always exact.",
            choices={"fp16": "fp16", "bf16": "bf16", "fp32": "fp32"},
            kohya=names("save_precision"),
            old=names("half_model"),
        ),
    ] = "fp16"
    folder: Annotated[
        str,
        Option(
            "Output Folder",
            "Where the files for use go. Empty: the WebUI's own folders.",
            picks="folder",
            kohya=names("output_dir"),
        ),
    ] = ""
    subfolder: Annotated[
        bool,
        Option(
            "Save to Subdirectory",
            "A folder per run inside that folder, so that the files of one run stay together.",
            old=names("use_subdir"),
        ),
    ] = True
    counter: Annotated[
        str,
        Option(
            "Numbers in File Names",
            "What stands behind the name of each file. Steps say exactly how far it is; epochs are what "
            "kohya's files have.",
            choices={"steps": "Steps", "epochs": "Epochs", "both": "Epochs and steps"},
        ),
    ] = "steps"
    words_as: Annotated[
        str,
        Option(
            "Words and LoRA as",
            "Pair: a LoRA and an embedding of the same step. One file: the word inside the LoRA, so that "
            "<lora:...> brings it along; A1111 reads that, the Forge family does not. Never both under one "
            "name. As the WebUI reads: one file in A1111; else, and where an embedding has the name, a pair.",
            choices={"auto": "As the WebUI reads", "pair": "A pair of files", "bundle": "One file (A1111)"},
            when=PAIRED & ADAPTER,
        ),
    ] = "auto"
    embedding_format: Annotated[
        str,
        Option(
            "Embedding Format",
            "All current programs read both.",
            choices={"safetensors": ".safetensors", "pt": ".pt"},
            when=WORDS,
            kohya=names("save_model_as"),
        ),
    ] = "safetensors"
    own_vae: Annotated[
        bool,
        Option(
            "VAE into Checkpoint",
            "Put the VAE chosen under Model into saved checkpoints instead of the base's own.",
            when=is_set("model.vae"),
        ),
    ] = False
