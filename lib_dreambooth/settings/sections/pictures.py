"""How pictures are read and cut."""

from typing import Annotated

from lib_dreambooth.settings.conditions import SDXL, is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section
from lib_dreambooth.settings.values import AUTO_SIZE, Size

BUCKETS = is_set("pictures.buckets")


class Pictures(Section, frozen=True, kw_only=True):
    """How pictures are turned, scaled, cut and changed before training."""

    resolution: Annotated[
        Size,
        Option(
            "Resolution",
            "Training size. With buckets its area is kept and the shape follows each picture. Auto is what "
            "the base was made for: 512 for SD 1.x, 768 for SD 2.x-v, 1024 for SDXL. Memory grows with the "
            "area.",
            unit="px",
            low=64,
            high=4096,
            basic=True,
            per_concept=True,
            kohya=names("resolution max_resolution"),
            old=names("resolution"),
        ),
    ] = AUTO_SIZE
    buckets: Annotated[
        bool,
        Option(
            "Aspect Ratio Buckets",
            "Keep each picture's shape as nearly as possible instead of cutting all to one. Turn off only "
            "for pictures already cut to size.",
            basic=True,
            kohya=names("enable_bucket"),
        ),
    ] = True
    bucket_min: Annotated[
        int,
        Option(
            "Minimum Bucket Side",
            "The shortest side a bucket may have. 0: half the side of the resolution.",
            unit="px",
            low=0,
            high=8192,
            when=BUCKETS,
            kohya=names("min_bucket_reso"),
        ),
    ] = 0
    bucket_max: Annotated[
        int,
        Option(
            "Maximum Bucket Side",
            "The longest side a bucket may have. 0: twice the side of the resolution. Kohya's 1024 at a "
            "resolution of 1024 throws away up to three quarters of the area of long pictures.",
            unit="px",
            low=0,
            high=8192,
            when=BUCKETS,
            kohya=names("max_bucket_reso"),
        ),
    ] = 0
    bucket_step: Annotated[
        int,
        Option(
            "Bucket Step",
            "Sides are multiples of this. Smaller cuts off less but makes more buckets, and so more short "
            "batches.",
            unit="px",
            low=8,
            high=512,
            when=BUCKETS,
            kohya=names("bucket_reso_steps"),
        ),
    ] = 64
    upscale: Annotated[
        bool,
        Option(
            "Enlarge Small Pictures",
            "Scale pictures smaller than their bucket up to it. Off: they are trained smaller, at their own "
            "size. Enlarging far teaches blur; the health report names such pictures.",
            when=BUCKETS,
            kohya=names("bucket_no_upscale"),
        ),
    ] = True
    bucket_rule: Annotated[
        str,
        Option(
            "Bucket Choice",
            "Nearest treats wide and tall pictures alike. Kohya's compares width by height as a plain "
            "number, which cuts tall pictures more; for repeating an old run.",
            choices={"nearest": "Nearest shape", "kohya": "Kohya's"},
            when=BUCKETS,
        ),
    ] = "nearest"
    crop: Annotated[
        str,
        Option(
            "Crop",
            "What is kept where a picture does not fit its bucket. Centre is usual. Random takes another "
            "part each time; upper keeps the head of standing figures; face uses a face box in the file "
            "name or a detector where there is one.",
            choices={"centre": "Centre", "random": "Random", "upper": "Upper part", "face": "Face"},
            per_concept=True,
            kohya=names("random_crop"),
            old=names("center_crop"),
        ),
    ] = "centre"
    crops_per_picture: Annotated[
        int,
        Option(
            "Crops per Picture",
            "How many random crops of each picture are cached. 0: a fresh one every time, which rules out "
            "the cache.",
            low=0,
            high=1000,
            when=is_("pictures.crop", "random", "face"),
        ),
    ] = 8
    face_zoom_min: Annotated[
        float,
        Option(
            "Face Crop: Smallest Zoom",
            "The crop's short side is at least this many times the face's size: 1.5 is a close portrait. "
            "0: as the largest.",
            low=0,
            high=100,
            when=is_("pictures.crop", "face"),
            per_concept=True,
            kohya=names("face_crop_aug_range"),
        ),
    ] = 0.0
    face_zoom_max: Annotated[
        float,
        Option(
            "Face Crop: Largest Zoom",
            "The crop's short side is at most this many times the face's size: 4 shows the upper body. "
            "0: off; the face is then only kept inside the crop.",
            low=0,
            high=100,
            when=is_("pictures.crop", "face"),
            per_concept=True,
            kohya=names("face_crop_aug_range"),
        ),
    ] = 0.0
    flip: Annotated[
        bool,
        Option(
            "Apply Horizontal Flip",
            "Mirror pictures half of the time. It mixes left and right: partings, one-sided ornaments and "
            "letters get lost. Only for subjects that look the same in a mirror.",
            basic=True,
            per_concept=True,
            kohya=names("flip_aug"),
            old=names("hflip"),
        ),
    ] = False
    colour_change: Annotated[
        str,
        Option(
            "Colour Augmentation",
            "Shift hue or brightness of a third of the draws a little. Rules out the latent cache. Kohya's "
            "gamma works on 0-255 and is really a change of brightness; the other does what was meant.",
            choices={"off": "Off", "gentle": "Hue and gamma", "kohya": "Kohya's"},
            per_concept=True,
            kohya=names("color_aug"),
        ),
    ] = "off"
    alpha: Annotated[
        str,
        Option(
            "Transparency",
            "Composite: laid on the background colour. Mask: transparent parts are not learned. Both: laid "
            "on the colour and not learned. Drop: the colour hidden under the transparency is trained on, "
            "as kohya's scripts do; wholly transparent class pictures rely on that.",
            choices={
                "composite": "Lay on the background colour",
                "mask": "Use as loss mask",
                "both": "Lay on the colour, and mask",
                "drop": "Drop (kohya)",
            },
            per_concept=True,
            kohya=names("alpha_mask"),
        ),
    ] = "composite"
    background: Annotated[
        str,
        Option(
            "Background Colour",
            "The colour under transparent parts, as #rrggbb. It is learned as the ground behind the "
            "subject; white background in the captions keeps the two apart.",
            when=is_("pictures.alpha", "composite", "both"),
            picks="colour",
            per_concept=True,
        ),
    ] = "#ffffff"
    masks: Annotated[
        bool,
        Option(
            "Loss Masks",
            "Use name-mask.png files and mask folders: white is learned, black is not, grey in part. "
            "Off: masks that lie there are ignored.",
            kohya=names("masked_loss"),
        ),
    ] = True
    exif_rotation: Annotated[
        bool,
        Option(
            "Turn Upright",
            "Turn photos as their camera marked them. Off only to repeat an old kohya run, which ignores "
            "the mark.",
        ),
    ] = True
    filter: Annotated[
        str,
        Option(
            "Scaling Filter",
            "How pictures are scaled. Auto shrinks by area and enlarges with Lanczos, which suits nearly "
            "everything; the others are for repeating an old run.",
            choices={
                "auto": "Auto",
                "lanczos": "Lanczos",
                "area": "Area",
                "bicubic": "Bicubic",
                "bilinear": "Bilinear",
                "nearest": "Nearest",
            },
            per_concept=True,
            kohya=names("resize_interpolation"),
        ),
    ] = "auto"
    size_ids: Annotated[
        str,
        Option(
            "SDXL Size and Crop Values",
            "SDXL is told each picture's true size and where it was cut. Kohya's formula puts the cut on "
            "the wrong side; for repeating an old run.",
            choices={"true": "True values", "kohya": "Kohya's"},
            when=SDXL,
        ),
    ] = "true"
