"""Class (regularisation) pictures."""

from typing import Annotated

from lib_dreambooth.base.durations import NEVER, Duration
from lib_dreambooth.settings.conditions import CLASS_PICTURES, is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

DRAWN = CLASS_PICTURES & is_set("class_pictures.draw")


class ClassPictures(Section, frozen=True, kw_only=True):
    """Pictures of the class that hold the model where it was (prior preservation)."""

    relation: Annotated[
        str,
        Option(
            "Class Pictures",
            "Mixed in: they take places of their own in the epoch, as many as there are training pictures, "
            "as kohya does it; an epoch becomes twice as long. Beside: one goes with every training "
            "picture, as in the paper and the old extension; every step does twice the work. Off: they are "
            "not used.",
            choices={"off": "Off", "mixed": "Mixed in (kohya)", "beside": "Beside each picture"},
            basic=True,
        ),
    ] = "off"
    weight: Annotated[
        float,
        Option(
            "Prior Loss Weight",
            "How much a class picture counts against a training picture; 1 is usual. Lower it to 0.3-0.7 "
            "if the subject is learned too weakly.",
            low=0,
            high=100,
            basic=True,
            when=CLASS_PICTURES,
            kohya=names("prior_loss_weight"),
            old=names("prior_loss_weight"),
        ),
    ] = 1.0
    fall: Annotated[
        Duration,
        Option(
            "Prior Loss Target",
            "Let the weight fall evenly to its minimum over this long (the old Scale Prior Loss). Never: it "
            "stays.",
            units=("steps", "epochs", "percent"),
            words=("never",),
            when=CLASS_PICTURES,
            old=names("prior_loss_scale prior_loss_target"),
        ),
    ] = NEVER
    weight_min: Annotated[
        float,
        Option(
            "Minimum Prior Loss Weight",
            "Where the weight ends when it falls; 0.1 keeps a little of the class to the end.",
            low=0,
            high=100,
            when=CLASS_PICTURES & is_set("class_pictures.fall"),
            old=names("prior_loss_weight_min"),
        ),
    ] = 0.1
    target: Annotated[
        str,
        Option(
            "Class Pictures Teach",
            "Pictures: the class pictures themselves. Base: what the untouched model answers for them, so "
            "that any pictures will do.",
            choices={"pictures": "The pictures", "base": "The base model (prior prediction)"},
            when=CLASS_PICTURES,
        ),
    ] = "pictures"
    surplus: Annotated[
        str,
        Option(
            "More Class Pictures than Needed",
            "Take turns: others in each epoch. Leave out: always the first ones, as kohya's scripts do.",
            choices={"rotate": "Take turns", "leave out": "Leave out (kohya)"},
            when=is_("class_pictures.relation", "mixed"),
        ),
    ] = "rotate"
    draw: Annotated[
        bool,
        Option(
            "Draw Missing Class Pictures",
            "Draw pictures with the untouched base until the number below is reached. They go into the "
            "model's own folder, never into yours. Off: what your folder holds is used.",
            basic=True,
            when=CLASS_PICTURES,
        ),
    ] = False
    per_picture: Annotated[
        int,
        Option(
            "Class Images Per Instance Image",
            "How many to have for each training picture; 5 to 10 is usual.",
            low=0,
            high=1000,
            when=DRAWN,
            old=names("num_class_images_per"),
        ),
    ] = 5
    total: Annotated[
        int,
        Option(
            "Total Number of Class/Reg Images",
            "How many to have in all for a concept. 0: counted per training picture.",
            low=0,
            high=1000000,
            when=DRAWN,
            old=names("num_class_images"),
        ),
    ] = 0
    guidance: Annotated[
        float,
        Option(
            "Classification CFG Scale",
            "How closely drawn class pictures keep to their prompt; 7 to 8 is usual.",
            low=0,
            high=30,
            when=DRAWN,
            old=names("class_guidance_scale"),
        ),
    ] = 7.5
    steps: Annotated[
        int,
        Option(
            "Classification Steps",
            "Sampling steps for each drawn class picture; 20 to 30 are enough.",
            unit="steps",
            low=1,
            high=500,
            when=DRAWN,
            old=names("class_infer_steps"),
        ),
    ] = 30
    sampler: Annotated[
        str,
        Option(
            "Classification Sampler",
            "The sampler that draws class pictures. Any will do: they are to look as the base draws, not "
            "perfect.",
            choices={
                "euler": "Euler",
                "euler a": "Euler a",
                "ddim": "DDIM",
                "dpm++ 2m karras": "DPM++ 2M Karras",
                "unipc": "UniPC",
            },
            when=DRAWN,
            old=names("class_gen_method"),
        ),
    ] = "dpm++ 2m karras"
    batch_size: Annotated[
        int,
        Option(
            "Class Batch Size",
            "How many are drawn at once; only speed and memory depend on it.",
            low=1,
            high=100,
            when=DRAWN,
            old=names("sample_batch_size"),
        ),
    ] = 1
