"""Memory and speed; none of it changes what is learned."""

from typing import Annotated

from lib_dreambooth.settings.conditions import WHOLE, is_
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section

AUTO_ON_OFF = {"auto": "Auto", "on": "On", "off": "Off"}


class Memory(Section, frozen=True, kw_only=True):
    """Memory and speed. Auto finds what fits the card and is fastest; the result is the same."""

    device: Annotated[
        str,
        Option(
            "Device",
            "Auto: the WebUI's graphics card, also where --device-id chose it. cpu: slow, for trying out. "
            "cuda:1 and so on: another card.",
            choices={"auto": "Auto", "cpu": "CPU (slow)", "cuda": "CUDA", "mps": "Apple"},
            open_choices=True,
            old=names("use_cpu"),
        ),
    ] = "auto"
    attention: Annotated[
        str,
        Option(
            "Memory Attention",
            "How attention is computed. Auto takes the fastest there is; sliced only where nothing else "
            "fits.",
            choices={
                "auto": "Auto",
                "sdpa": "PyTorch",
                "xformers": "xFormers",
                "sliced": "Sliced (least memory)",
            },
            kohya=names("xformers sdpa mem_eff_attn"),
            old=names("attention"),
        ),
    ] = "auto"
    checkpointing: Annotated[
        str,
        Option(
            "Gradient Checkpointing",
            "Compute parts twice instead of keeping them: much less memory, about a third slower. Auto: "
            "only as much as is needed to fit.",
            choices={
                "auto": "Auto",
                "off": "Off",
                "some": "Only the largest blocks",
                "on": "On",
                "offload": "On, kept in system memory",
            },
            basic=True,
            kohya=names("gradient_checkpointing cpu_offload_checkpointing"),
            old=names("gradient_checkpointing"),
        ),
    ] = "auto"
    cache_latents: Annotated[
        str,
        Option(
            "Cache Latents",
            "Encode pictures once before training, which is much faster. Auto: in memory, or on disk "
            "when there are many.",
            choices={"auto": "Auto", "memory": "In memory", "disk": "On disk", "off": "Off"},
            kohya=names("cache_latents cache_latents_to_disk"),
            old=names("cache_latents not_cache_latents"),
        ),
    ] = "auto"
    latent_draw: Annotated[
        str,
        Option(
            "Cached Latents are",
            "Fresh: mean and spread are kept and drawn from at each visit, as without a cache. Frozen: one "
            "draw for the whole run, as kohya's cache.",
            choices={"fresh": "Drawn fresh", "frozen": "Frozen (kohya)"},
            when=~is_("memory.cache_latents", "off"),
        ),
    ] = "fresh"
    cache_text: Annotated[
        str,
        Option(
            "Cache Text Encoder Outputs",
            "Encode captions ahead where the text encoders are not trained, so that they can leave the card. "
            "Shuffling and dropout do not stand against it.",
            choices={"auto": "Auto", "memory": "In memory", "disk": "On disk", "off": "Off"},
            kohya=names("cache_text_encoder_outputs cache_text_encoder_outputs_to_disk"),
        ),
    ] = "auto"
    cache_limit: Annotated[
        float,
        Option(
            "Cache Size Limit",
            "The oldest entries of the disk cache are removed beyond this.",
            unit="GB",
            low=0.1,
            high=100000,
        ),
    ] = 20.0
    trust_cache: Annotated[
        bool,
        Option(
            "Skip Cache Check",
            "Take cached files as they are without comparing them with their content number. For very large "
            "sets on slow disks.",
            kohya=names("skip_cache_check"),
        ),
    ] = False
    vae_batch: Annotated[
        int,
        Option(
            "VAE Batch Size",
            "How many pictures are encoded at once at most. The last digits of a picture's latents depend on "
            "what is encoded with it. 0: one by one, which is exact and on most cards as fast.",
            low=0,
            high=256,
            kohya=names("vae_batch_size"),
        ),
    ] = 0
    workers: Annotated[
        int,
        Option(
            "Data Loader Workers",
            "Threads that prepare pictures when there is no latent cache. -1: as many as help. They change "
            "nothing about the result.",
            low=-1,
            high=256,
            kohya=names("max_data_loader_n_workers persistent_data_loader_workers"),
        ),
    ] = -1
    fused_backward: Annotated[
        str,
        Option(
            "Fused Backward Pass",
            "Move each weight as soon as its gradient is known, so that gradients are never all in memory. "
            "For whole weights on small cards; not with accumulation on the card, clipping over all "
            "weights, or fp16 scaling. Auto: where that can be and the card is too small otherwise.",
            choices=AUTO_ON_OFF,
            when=WHOLE,
            kohya=names("fused_backward_pass fused_optimizer_groups"),
        ),
    ] = "auto"
    gradients: Annotated[
        str,
        Option(
            "Gradients Kept in",
            "System memory makes accumulation possible where the card cannot hold the gradients; slower.",
            choices={"auto": "Auto", "card": "Graphics memory", "system": "System memory"},
            when=WHOLE & ~is_("length.accumulation", 1),
        ),
    ] = "auto"
    optimizer_state: Annotated[
        str,
        Option(
            "Optimizer State Kept in",
            "What an optimizer remembers of the weights; AdamW twice as much as they weigh. From system "
            "memory it comes to the card for the move of one weight at a time: whole models fit much "
            "smaller cards, the result is the same, slower. Auto: only where nothing faster fits. Not for "
            "optimizers that look at all weights together.",
            choices={"auto": "Auto", "card": "Graphics memory", "system": "System memory"},
            kohya=names("offload_optimizer_device"),
        ),
    ] = "auto"
    pieces: Annotated[
        int,
        Option(
            "Batch Taken in Pieces",
            "Take the pictures of a batch in so many parts one after the other: less memory, slower, the "
            "same gradient but for rounding. 0: in one, or in as many as are needed to fit the card. Where "
            "memory ends all the same and blocks are computed twice already, a run takes more.",
            low=0,
            high=256,
            when=~is_("length.batch_size", 1),
        ),
    ] = 0
    set_to_none: Annotated[
        bool,
        Option(
            "Set Gradients to None When Zeroing",
            "Give the gradients' memory back between steps. Off only for comparison.",
            old=names("gradient_set_to_none"),
        ),
    ] = True
    compile: Annotated[
        str,
        Option(
            "Torch Compile",
            "Compile the model's blocks for the card: minutes at the start, faster steps. Auto: where it was "
            "measured to win, which is nowhere yet.",
            choices=AUTO_ON_OFF,
            kohya=names("torch_compile dynamo_backend"),
        ),
    ] = "auto"
    joined: Annotated[
        str,
        Option(
            "Networks Joined with Layers",
            "Compute a plain LoRA in one expression with its layer, and queries, keys and values together: "
            "a third fewer operations for the same numbers but for rounding. Auto: on, unless blocks are "
            "compiled.",
            choices=AUTO_ON_OFF,
            when=is_("network.kind", "lora"),
        ),
    ] = "auto"
    lean: Annotated[
        str,
        Option(
            "Lean Blocks",
            "Compute the UNet's residual blocks without what changes nothing, and keep less of them for the "
            "way back: the same but for rounding. Off only for comparison. Auto: on, unless blocks are "
            "compiled.",
            choices=AUTO_ON_OFF,
        ),
    ] = "auto"
    one_call: Annotated[
        str,
        Option(
            "Optimizer in One Call",
            "Move all weights of a kind in one operation where PyTorch's own optimizers can. Off only for "
            "comparison.",
            choices=AUTO_ON_OFF,
        ),
    ] = "auto"
    cuda_graphs: Annotated[
        str,
        Option(
            "CUDA Graphs",
            "Record a step once and replay it, one recording for each bucket shape; takes away Python's "
            "time. For networks of the UNet. Auto: off; it was never tried on a card yet.",
            choices=AUTO_ON_OFF,
        ),
    ] = "auto"
    channels_last: Annotated[
        str,
        Option(
            "Channels Last",
            "Another order of numbers in memory, faster for convolutions on some cards. Auto: off, until it "
            "was measured to win.",
            choices=AUTO_ON_OFF,
        ),
    ] = "auto"
    unload: Annotated[
        str,
        Option(
            "VAE and Text Encoders Leave the Card",
            "Each part comes to the card when its phase needs it. Auto: outside the steps parts are there "
            "one at a time only where all of them would not fit. On: always one at a time. Off: what came "
            "once stays.",
            choices=AUTO_ON_OFF,
            kohya=names("lowram highvram"),
        ),
    ] = "auto"
