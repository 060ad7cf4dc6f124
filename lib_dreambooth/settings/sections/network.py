"""What is added to the model: LoRA and its relatives."""

from typing import Annotated

import msgspec

from lib_dreambooth.settings.conditions import ADAPTER, LOW_RANK, TEXT_ENCODER, is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

LORA = is_("network.kind", "lora")
LYCORIS = is_("network.kind", "loha", "lokr", "glora", "oft", "ia3")
CONV = LOW_RANK & is_set("network.conv_rank")


class Network(Section, frozen=True, kw_only=True):
    """The small network that is trained instead of the whole model."""

    kind: Annotated[
        str,
        Option(
            "Network Type",
            "LoRA suits nearly everything. None trains the model's own weights (Dreambooth): a whole "
            "checkpoint, more memory, much lower rates. LoHa and LoKr make smaller files; IA3 is tiny and "
            "subtle; OFT turns without stretching; Full stores plain differences.",
            choices={
                "lora": "LoRA",
                "none": "None (whole weights)",
                "loha": "LoHa",
                "lokr": "LoKr",
                "ia3": "(IA)3",
                "oft": "OFT",
                "glora": "GLoRA",
                "full": "Full differences",
            },
            basic=True,
            kohya=names("network_module algo LoRA_type"),
            old=names("use_lora"),
        ),
    ] = "lora"
    rank: Annotated[
        int,
        Option(
            "Network Rank (Dimension)",
            "How much the network can hold, and how large its file is. 8-32 is enough for a character, also "
            "in fine detail; a rank of 128 mostly makes the file larger.",
            low=1,
            high=4096,
            basic=True,
            when=LOW_RANK | is_("network.kind", "oft"),
            kohya=names("network_dim dim"),
            old=names("lora_unet_rank"),
        ),
    ] = 16
    alpha: Annotated[
        float,
        Option(
            "Network Alpha",
            "The network's output is multiplied by alpha / rank, in training and in every program that "
            "reads the file; halving it acts like halving the rate. Half the rank is usual. 0: the same as "
            "the rank.",
            inherits="network.rank",
            low=0,
            high=65536,
            basic=True,
            when=LOW_RANK,
            kohya=names("network_alpha alpha"),
            old=names("lora_weight"),
        ),
    ] = 8.0
    text_rank: Annotated[
        int,
        Option(
            "Text Encoder Rank",
            "Rank in the text encoders, with alpha in proportion. 0: the same as the rank.",
            inherits="network.rank",
            low=0,
            high=4096,
            when=LOW_RANK & TEXT_ENCODER,
            old=names("lora_txt_rank"),
        ),
    ] = 0
    conv_rank: Annotated[
        int,
        Option(
            "Convolution Rank",
            "Also train the 3x3 convolutions, with this rank (LoCon, C3Lier); 4 to 16 is usual. Helps "
            "styles and textures and makes the file larger. 0: off.",
            low=0,
            high=4096,
            when=LOW_RANK,
            kohya=names("conv_dim"),
        ),
    ] = 0
    conv_alpha: Annotated[
        float,
        Option(
            "Convolution Alpha",
            "Alpha of the convolutions; 1 or half their rank is usual. 0: the same as their rank.",
            inherits="network.conv_rank",
            low=0,
            high=65536,
            when=CONV,
            kohya=names("conv_alpha"),
        ),
    ] = 0.0
    rank_stabilised: Annotated[
        bool,
        Option(
            "Rank-stabilised Scale",
            "Divide alpha by the root of the rank instead of the rank, so that high ranks learn as fast as "
            "low ones. The file carries an alpha that every reader understands.",
            when=LOW_RANK,
            kohya=names("rs_lora"),
        ),
    ] = False
    decompose: Annotated[
        bool,
        Option(
            "DoRA",
            "Train direction and length of the weights apart. Sometimes closer to whole training at low "
            "rank; slower, and not every program reads it.",
            when=is_("network.kind", "lora", "loha", "lokr"),
            kohya=names("dora_wd"),
        ),
    ] = False
    targets: Annotated[
        str,
        Option(
            "Layers",
            "Which layers get the network: all of attention and feed-forward (as kohya's LoRA), or "
            "attention alone.",
            choices={
                "all": "Attention and feed-forward",
                "attention": "Attention only",
                "cross": "Cross-attention only",
            },
            when=ADAPTER,
            kohya=names("preset"),
        ),
    ] = "all"
    include: Annotated[
        tuple[str, ...],
        Option(
            "Only Layers Named",
            "Patterns of layer names, * for any text, such as unet.mid*; only layers that fit one get the "
            "network.",
            lines=2,
            when=ADAPTER,
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        Option(
            "Except Layers Named",
            "Patterns of layer names that get no network, such as unet.mid*. Empty: none is left out.",
            lines=2,
            when=ADAPTER,
        ),
    ] = ()
    layer_ranks: Annotated[
        dict[str, int],
        Option(
            "Ranks by Layer",
            "Pattern to rank, such as unet.mid*=8; the first that fits counts, 0 leaves those layers "
            "out. For experiments; empty otherwise.",
            low=0,
            high=4096,
            lines=2,
            when=LOW_RANK,
        ),
    ] = msgspec.field(default_factory=dict)
    layer_alphas: Annotated[
        dict[str, float],
        Option(
            "Alphas by Layer",
            "Pattern to alpha, such as unet.mid*=4; the first that fits counts. For experiments; empty "
            "otherwise.",
            low=0,
            high=65536,
            lines=2,
            when=LOW_RANK,
        ),
    ] = msgspec.field(default_factory=dict)
    block_ranks: Annotated[
        tuple[int, ...],
        Option(
            "Block Dims",
            "Rank of each UNet block: 25 numbers for SD 1.x and 2.x, 23 for SDXL, as in kohya's block_dims.",
            low=0,
            high=4096,
            when=LOW_RANK,
            kohya=names("block_dims"),
        ),
    ] = ()
    block_alphas: Annotated[
        tuple[float, ...],
        Option(
            "Block Alphas",
            "Alpha of each UNet block, in the same order.",
            low=0,
            high=65536,
            when=LOW_RANK & is_set("network.block_ranks"),
            kohya=names("block_alphas"),
        ),
    ] = ()
    block_conv_ranks: Annotated[
        tuple[int, ...],
        Option(
            "Block Convolution Dims",
            "Convolution rank of each UNet block, in the same order.",
            low=0,
            high=4096,
            when=LOW_RANK & is_set("network.block_ranks"),
            kohya=names("conv_block_dims"),
        ),
    ] = ()
    block_conv_alphas: Annotated[
        tuple[float, ...],
        Option(
            "Block Convolution Alphas",
            "Convolution alpha of each UNet block, in the same order.",
            low=0,
            high=65536,
            when=LOW_RANK & is_set("network.block_conv_ranks"),
            kohya=names("conv_block_alphas"),
        ),
    ] = ()
    dropout: Annotated[
        float,
        Option(
            "Network Dropout",
            "Chance of each value inside the network to be left out in a step. 0.1-0.3 works against "
            "learning by heart and slows learning. 0: off.",
            low=0,
            high=0.99,
            when=LOW_RANK,
            kohya=names("network_dropout"),
        ),
    ] = 0.0
    rank_dropout: Annotated[
        float,
        Option(
            "Rank Dropout",
            "Chance of each rank of a layer to be left out in a step; 0.1-0.3 works against learning by "
            "heart. 0: off.",
            low=0,
            high=0.99,
            when=LOW_RANK,
            kohya=names("rank_dropout"),
        ),
    ] = 0.0
    module_dropout: Annotated[
        float,
        Option(
            "Module Dropout",
            "Chance of a whole layer's network to be left out in a step; 0.1-0.3 works against learning "
            "by heart. 0: off.",
            low=0,
            high=0.99,
            when=ADAPTER,
            kohya=names("module_dropout"),
        ),
    ] = 0.0
    max_norm: Annotated[
        float,
        Option(
            "Scale Weight Norms",
            "Layers whose change grows beyond this are scaled back; about 1 guards against burnt results. "
            "0: off.",
            low=0,
            high=1000,
            when=ADAPTER & ~is_("network.kind", "oft"),
            kohya=names("scale_weight_norms"),
        ),
    ] = 0.0
    plus_ratio: Annotated[
        float,
        Option(
            "LoRA+ Ratio",
            "The rate of the second half of each layer is multiplied by this (LoRA+); 4-16 learns faster. "
            "1: off.",
            low=0,
            high=1000,
            when=LORA,
            kohya=names("loraplus_lr_ratio"),
        ),
    ] = 1.0
    plus_ratio_unet: Annotated[
        float,
        Option(
            "LoRA+ Ratio: UNet",
            "For the UNet alone. 0: the ratio above.",
            inherits="network.plus_ratio",
            low=0,
            high=1000,
            when=LORA,
            kohya=names("loraplus_unet_lr_ratio"),
        ),
    ] = 0.0
    plus_ratio_text: Annotated[
        float,
        Option(
            "LoRA+ Ratio: Text Encoder",
            "For the text encoders alone. 0: the ratio above.",
            inherits="network.plus_ratio",
            low=0,
            high=1000,
            when=LORA & TEXT_ENCODER,
            kohya=names("loraplus_text_encoder_lr_ratio"),
        ),
    ] = 0.0
    train_norms: Annotated[
        bool,
        Option(
            "Train Norms",
            "Also store the differences of normalisation layers. Hosts read them from LyCORIS files.",
            when=ADAPTER,
            kohya=names("train_norm"),
        ),
    ] = False
    factor: Annotated[
        int,
        Option(
            "LoKr Factor",
            "How the layers are cut for LoKr: larger makes smaller files. -1: as even as possible.",
            low=-1,
            high=4096,
            when=is_("network.kind", "lokr"),
            kohya=names("factor"),
        ),
    ] = -1
    decompose_both: Annotated[
        bool,
        Option(
            "LoKr: Decompose Both",
            "Cut the small factor into low rank too: an even smaller file that holds less. Off is usual.",
            when=is_("network.kind", "lokr"),
            kohya=names("decompose_both"),
        ),
    ] = False
    tucker: Annotated[
        bool,
        Option(
            "Tucker Decomposition",
            "Smaller networks for convolutions, by Tucker's decomposition; a little weaker. Off is usual.",
            when=is_("network.kind", "loha", "lokr") & is_set("network.conv_rank"),
            kohya=names("use_tucker use_cp"),
        ),
    ] = False
    scalar: Annotated[
        bool,
        Option(
            "Trained Scale",
            "Each layer also learns one factor on its change, in place of starting one half at zero. For "
            "experiments; off is usual.",
            when=is_("network.kind", "loha", "lokr"),
            kohya=names("use_scalar"),
        ),
    ] = False
    constraint: Annotated[
        float,
        Option(
            "OFT Constraint",
            "Bound on how far layers may turn (COFT). 0: free, as is usual.",
            low=0,
            high=1000,
            when=is_("network.kind", "oft"),
            kohya=names("constraint"),
        ),
    ] = 0.0
    rescaled: Annotated[
        bool,
        Option(
            "OFT Rescaled",
            "Also learn one length per output beside the turning: a little more freedom, a slightly "
            "larger file.",
            when=is_("network.kind", "oft"),
            kohya=names("rescaled"),
        ),
    ] = False
    start_from: Annotated[
        str,
        Option(
            "Start from LoRA File",
            "Go on training the weights of an existing file of the same kind. Optimizer and schedule start "
            "new; to continue an interrupted run use Resume.",
            picks="lora",
            when=ADAPTER,
            kohya=names("network_weights lora_network_weights"),
            old=names("lora_model_name"),
        ),
    ] = ""
    ranks_from_file: Annotated[
        bool,
        Option(
            "Ranks from that File",
            "Take rank and alpha of every layer from the file.",
            when=ADAPTER & is_set("network.start_from"),
            kohya=names("dim_from_weights"),
        ),
    ] = True
