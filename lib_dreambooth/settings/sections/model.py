"""The base model."""

from typing import Annotated

from lib_dreambooth.settings.conditions import NOT_SDXL
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Model(Section, frozen=True, kw_only=True):
    """The model that training starts from. The file is only read."""

    base: Annotated[
        str,
        Option(
            "Source Checkpoint",
            "The checkpoint to start from: a .safetensors or .ckpt file, or a diffusers folder. Train on "
            "the model your pictures look most like, or on the plain family base if the result is to work "
            "on many models.",
            picks="checkpoint",
            basic=True,
            kohya=names("pretrained_model_name_or_path"),
            old=names("src new_model_src"),
        ),
    ] = ""
    family: Annotated[
        str,
        Option(
            "Model Type",
            "Found from the file. Set it only to be told when the file is of another family than you think.",
            choices={"auto": "Auto", "sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"},
            kohya=names("v2 sdxl"),
            old=names("model_type v2"),
        ),
    ] = "auto"
    prediction: Annotated[
        str,
        Option(
            "Prediction Type",
            "What the model was taught to predict. Found from the file where it says so; SD 2.x at 768 and "
            "v-prediction models of SDXL use velocity. A wrong choice gives grey or burnt pictures at once.",
            choices={
                "auto": "Auto",
                "noise": "Noise (epsilon)",
                "velocity": "Velocity (v)",
                "sample": "Picture",
            },
            kohya=names("v_parameterization"),
            old=names("v_pred"),
        ),
    ] = "auto"
    vae: Annotated[
        str,
        Option(
            "Pretrained VAE Name or Path",
            "A VAE file to use instead of the one in the checkpoint. Leave empty unless the checkpoint's "
            "own is missing or damaged.",
            picks="vae",
            kohya=names("vae"),
            old=names("pretrained_vae_name_or_path"),
        ),
    ] = ""
    ema_weights: Annotated[
        bool,
        Option(
            "Extract EMA Weights",
            "Start from the averaged weights where the checkpoint holds them beside the plain ones. Full "
            "files of the first SD releases do; most others hold one set only.",
            old=names("new_model_extract_ema"),
        ),
    ] = False
    clip_skip: Annotated[
        int,
        Option(
            "Clip Skip",
            "Which layer of the text encoder is used, counted from its end. Use the number you generate "
            "with: 1 for photo models, 2 for models of the NovelAI family. SDXL has its own fixed layers.",
            low=1,
            high=12,
            basic=True,
            when=NOT_SDXL,
            kohya=names("clip_skip"),
            old=names("clip_skip"),
        ),
    ] = 1
    merge: Annotated[
        tuple[str, ...],
        Option(
            "LoRA files merged into the base first",
            "Files that are added to the base before training, each as FILE or FILE:WEIGHT. The result then "
            "works together with them, and needs them.",
            picks="lora",
            kohya=names("base_weights base_weights_multiplier"),
        ),
    ] = ()
