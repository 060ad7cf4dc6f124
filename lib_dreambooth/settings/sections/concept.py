"""One subject, with its pictures and prompts."""

from typing import Annotated, Any

import msgspec

from lib_dreambooth.settings.conditions import CLASS_PICTURES, is_
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

TRAINED = is_(".role", "train")


class Concept(Section, frozen=True, kw_only=True):
    """A folder of pictures and what they show. A run has any number of them."""

    name: Annotated[
        str,
        Option(
            "Concept Name",
            "For your own eyes: it labels previews, curves and findings of this concept. Empty: the "
            "folder's name.",
            kohya=names("name"),
        ),
    ] = ""
    role: Annotated[
        str,
        Option(
            "Used for",
            "Training pictures are learned. Class pictures show what must not change. Validation pictures "
            "are never trained on and only measured.",
            choices={"train": "Training", "class": "Class pictures", "validation": "Validation"},
            kohya=names("is_reg reg_data_dir"),
        ),
    ] = "train"
    folder: Annotated[
        str,
        Option(
            "Dataset Directory",
            "The folder with the pictures. Sub-folders named 10_name are read as repeats and name; the "
            "parent of such folders or one of them may be given.",
            picks="folder",
            basic=True,
            kohya=names("train_data_dir image_dir"),
            old=names("instance_data_dir"),
        ),
    ] = ""
    subfolders: Annotated[
        str,
        Option(
            "Sub-folders",
            "Auto: a number and an underscore in front of a sub-folder's name are its repeats, other "
            "sub-folders are read too. Plain: names mean nothing. Ignore: only the folder itself. Repeats "
            "only: as kohya does it, sub-folders without a number are left out.",
            choices={
                "auto": "Auto",
                "plain": "Plain",
                "ignore": "Ignore",
                "repeats": "Repeats only (kohya)",
            },
        ),
    ] = "auto"
    metadata_file: Annotated[
        str,
        Option(
            "Metadata File",
            "A kohya metadata file (.json or .jsonl) with captions and tags, in place of caption files.",
            picks="file",
            kohya=names("in_json metadata_file"),
        ),
    ] = ""
    mask_folder: Annotated[
        str,
        Option(
            "Mask Directory",
            "A folder with one grey picture per training picture under the same name: white is learned, "
            "black is not. A file name-mask.png beside the picture works too.",
            picks="folder",
            kohya=names("conditioning_data_dir"),
        ),
    ] = ""
    repeats: Annotated[
        int,
        Option(
            "Repeats",
            "How often each picture is seen in one epoch. Use it to balance concepts of different sizes; "
            "for longer training raise the epochs instead. A number in a folder's name is multiplied by "
            "this.",
            low=1,
            high=10000,
            basic=True,
            kohya=names("dataset_repeats num_repeats"),
        ),
    ] = 1
    weight: Annotated[
        float,
        Option(
            "Concept Weight",
            "How much each picture of this concept counts in the loss. 1 is normal; 0.5 suits pictures "
            "that are only half good, such as screenshots.",
            low=0,
            high=100,
        ),
    ] = 1.0
    token: Annotated[
        str,
        Option(
            "Instance Token",
            "The word that will call the subject. Choose one that means nothing to the model and is short in "
            "tokens. Where captions already carry the word, leave it as it stands there.",
            basic=True,
            when=TRAINED,
            old=names("instance_token"),
        ),
    ] = ""
    class_token: Annotated[
        str,
        Option(
            "Class Token",
            "What the subject is in one ordinary word: person, girl, dog. It is added after the instance "
            "token where a caption lacks it, and describes the class pictures.",
            basic=True,
            old=names("class_token"),
        ),
    ] = ""
    prompt: Annotated[
        str,
        Option(
            "Instance Prompt",
            "What each picture is trained with. [filewords] stands for the picture's own caption. The "
            "dataset page shows the result for every picture.",
            basic=True,
            old=names("instance_prompt"),
        ),
    ] = "[filewords]"
    fallback: Annotated[
        str,
        Option(
            "Caption where There Is None",
            "What pictures without a caption of their own are described by. Empty: the name behind the "
            "number of a 10_name folder, else the tokens alone.",
            kohya=names("class_tokens"),
        ),
    ] = ""
    class_folder: Annotated[
        str,
        Option(
            "Classification Dataset Directory",
            "Your own class pictures for this concept. Nothing is ever written there; as many are used as "
            "it holds.",
            picks="folder",
            when=TRAINED & CLASS_PICTURES,
            kohya=names("reg_data_dir"),
            old=names("class_data_dir"),
        ),
    ] = ""
    class_prompt: Annotated[
        str,
        Option(
            "Class Prompt",
            "What class pictures are trained with, and drawn from where drawing is on. [filewords] is the "
            "caption of the class picture, or of the training picture without the instance token.",
            when=CLASS_PICTURES,
            old=names("class_prompt"),
        ),
    ] = "[filewords]"
    class_negative: Annotated[
        str,
        Option(
            "Class Negative Prompt",
            "The negative prompt for drawing class pictures, such as lowres, bad anatomy. Training "
            "itself has none.",
            when=TRAINED & is_("class_pictures.draw", True),
            old=names("class_negative_prompt"),
        ),
    ] = ""
    sample_prompts: Annotated[
        tuple[str, ...],
        Option(
            "Sample Image Prompt",
            "Prompts for the previews of this concept, one a line, with kohya's switches where wanted (--n "
            "negative, --w, --h, --d seed, --s steps, --l guidance). None: good ones are made from the "
            "tokens.",
            lines=3,
            one_a_line=True,
            old=names("save_sample_prompt"),
        ),
    ] = ()
    target: Annotated[
        str,
        Option(
            "Learns from",
            "Pictures: the usual way. Base: the untouched model's own answer for these pictures and "
            "captions, so that it stays as it is there; any pictures will do, and none have to be drawn.",
            choices={"pictures": "The pictures", "base": "The base model (prior prediction)"},
            kohya=names("custom_attributes diff_output_preservation"),
        ),
    ] = "pictures"
    override: Annotated[
        dict[str, Any],
        Option(
            "Different for this concept",
            'Picture and caption settings that differ for this concept, such as "captions.keep_tokens" = 2.',
            lines=4,
            picks="settings",
        ),
    ] = msgspec.field(default_factory=dict)
