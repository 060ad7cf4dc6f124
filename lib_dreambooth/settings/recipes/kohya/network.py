"""kohya's options for the network, its modules and what LyCORIS adds."""

from __future__ import annotations

from lib_dreambooth.settings.convert import quoted
from lib_dreambooth.settings.recipes.kohya.blocks import BLOCKS
from lib_dreambooth.settings.recipes.rules import Rule, Table, file_at, flag, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import Turn, Unreadable, number, switch, text, whole

LYCORIS = "lycoris.kohya"
MODULES = {
    "networks.lora": "lora",
    "networks.lora_fa": "lora",
    "networks.dylora": "lora",
    "networks.oft": "oft",
    "networks.loha": "loha",
    "networks.lokr": "lokr",
}
ALGORITHMS = {
    "lora": "lora",
    "locon": "lora",
    "loha": "loha",
    "lokr": "lokr",
    "ia3": "ia3",
    "glora": "glora",
    "full": "full",
    "diag-oft": "oft",
    "oft": "oft",
    "boft": "oft",
    "dylora": "lora",
    "tlora": "lora",
}
ONE_RANK = "it trains all smaller ranks at once there; here one rank is trained, which is also faster."
OTHER_KIND = {
    "networks.lora_fa": "its first half stays as drawn there; here both halves are trained.",
    "networks.dylora": ONE_RANK,
    "dylora": ONE_RANK,
    "boft": "turns of single blocks are nearest to it here.",
    "tlora": "its rank depends on the noise level there; here it is the same everywhere.",
}
# Which layers LyCORIS' presets take: layers here, convolutions, text encoders.
PRESETS = {
    "full": ("all", True, True),
    "full-lin": ("all", False, True),
    "attn-mlp": ("all", False, True),
    "attn-only": ("attention", False, True),
    "unet-only": ("all", True, False),
    "unet-transformer-only": ("all", False, False),
}
# The highest that the settings take; no layer of SD or SDXL is large enough for LoKr to split with it.
HIGHEST_RANK = 4096
ALL_RANKS = "a rank for every layer is drawn there; here it is fixed."


def kind(sheet: Sheet) -> str:
    """The network's kind here."""
    module = str(sheet.get("network_module", "")).strip()
    if module == LYCORIS:
        return ALGORITHMS.get(algorithm(sheet), "lora")
    return MODULES.get(module, "lora")


def algorithm(sheet: Sheet) -> str:
    """LyCORIS' algorithm."""
    return str(sheet.get("network_args.algo", "lora")).strip().lower()


def is_lycoris(sheet: Sheet) -> bool:
    """Whether LyCORIS makes the network."""
    return str(sheet.get("network_module", "")).strip() == LYCORIS


def module(sheet: Sheet, entry: Entry) -> None:
    """network_module, together with LyCORIS' algorithm."""
    name = text(entry.value).strip()
    if name != LYCORIS and name not in MODULES:
        sheet.ask(entry, f"the module {quoted(name)} is not known here; a plain LoRA stands in its place.")
        return
    own = algorithm(sheet) if name == LYCORIS else name
    if name == LYCORIS and own not in ALGORITHMS:
        sheet.ask(entry, f"the algorithm {quoted(own)} is not known here; a plain LoRA stands in its place.")
    elif own in OTHER_KIND:
        sheet.differ(entry, {"network.kind": kind(sheet)}, OTHER_KIND[own])
    else:
        sheet.honour(entry, {"network.kind": kind(sheet)})


def algo(sheet: Sheet, entry: Entry) -> None:
    """LyCORIS' algorithm is settled with the module."""
    text(entry.value)
    if is_lycoris(sheet):
        sheet.honour(entry, {"network.kind": kind(sheet)})
    else:
        sheet.unused(entry, "only LyCORIS reads it.")


def rank(sheet: Sheet, entry: Entry) -> None:
    """network_dim."""
    if not is_whole_matrix(sheet, entry, "network.rank"):
        sheet.honour(entry, {"network.rank": whole(entry.value)})


def is_whole_matrix(sheet: Sheet, entry: Entry, path: str) -> bool:
    """Settles ranks such as 100000, with which LyCORIS' LoKr leaves its second matrix whole."""
    if kind(sheet) != "lokr" or whole(entry.value) <= HIGHEST_RANK:
        return False
    says = f"so high a rank leaves the second matrix whole; {HIGHEST_RANK} does the same."
    sheet.differ(entry, {path: HIGHEST_RANK}, says)
    return True


def conv(path: str, turn: Turn) -> Rule:
    """Rank and alpha of convolutions, which some LyCORIS presets leave out."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = turn(entry.value)
        if is_lycoris(sheet) and not preset_of(sheet)[1]:
            sheet.unused(entry, "the preset takes no convolutions.")
        elif path.endswith("rank") and is_whole_matrix(sheet, entry, path):
            return
        else:
            sheet.honour(entry, {path: value})

    return rule


def preset_of(sheet: Sheet) -> tuple[str, bool, bool]:
    """What LyCORIS' preset takes."""
    return PRESETS.get(str(sheet.get("network_args.preset", "full")).strip().lower(), PRESETS["full"])


def preset(sheet: Sheet, entry: Entry) -> None:
    """LyCORIS' preset."""
    name = text(entry.value).strip().lower()
    if name not in PRESETS:
        sheet.ask(entry, "this choice of layers is not known here; all are taken. See network.include.")
        return
    layers, _, with_text = PRESETS[name]
    sets: dict[str, object] = {"network.targets": layers}
    if not with_text:
        sets |= {"parts.text_encoder_1.train": False, "parts.text_encoder_2.train": False}
    sheet.honour(entry, sets)


def one_part_only(off: tuple[str, ...]) -> Rule:
    """network_train_unet_only and network_train_text_encoder_only."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if switch(entry.value):
            sheet.honour(entry, {f"parts.{part}.train": False for part in off})
        else:
            sheet.honour(entry)

    return rule


def oft_layers(sheet: Sheet, entry: Entry) -> None:
    """enable_all_linear of networks.oft."""
    sheet.honour(entry, {"network.targets": "all" if switch(entry.value) else "attention"})


def oft_conv(sheet: Sheet, entry: Entry) -> None:
    """enable_conv of networks.oft."""
    if switch(entry.value):
        sheet.unused(entry, "only LoRA and its relatives take convolutions here.")
    else:
        sheet.honour(entry)


def factor(sheet: Sheet, entry: Entry) -> None:
    """LoKr's factor; LyCORIS takes everything below 0 as automatic."""
    sheet.honour(entry, {"network.factor": max(-1, whole(entry.value))})


def dropout(path: str) -> Rule:
    """A chance; None and nothing are 0."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = number(entry.value)
        if not 0 <= value < 1:
            raise Unreadable("is no chance below 1.")
        sheet.honour(entry, {path: value})

    return rule


def fill_network(sheet: Sheet) -> None:
    """What the network is where the recipe is silent."""
    wished = sheet.number("network_dim") or 4
    sheet.fill("network_dim", "network.rank", 4)
    sheet.fill("network_alpha", "network.alpha", 1.0)
    if sheet.given("network_weights"):
        sheet.fill("dim_from_weights", "network.ranks_from_file", False)
    if is_lycoris(sheet):
        if preset_of(sheet)[1] and kind(sheet) in ("lora", "loha", "lokr", "glora"):
            sheet.fill("conv_dim of LyCORIS", "network.conv_rank", min(int(wished), HIGHEST_RANK))
            sheet.fill("conv_alpha of LyCORIS", "network.conv_alpha", sheet.number("network_alpha") or 1.0)
    elif sheet.has("network.conv_rank"):
        sheet.fill("conv_alpha", "network.conv_alpha", 1.0)


NETWORK: Table = {
    "network_module": module,
    "network_dim": rank,
    "network_alpha": to("network.alpha", number),
    "network_dropout": dropout("network.dropout"),
    "network_args": unused("it is not written as name=value."),
    "network_weights": file_at("network.start_from", "lora"),
    "dim_from_weights": flag("network.ranks_from_file"),
    "network_train_unet_only": one_part_only(("text_encoder_1", "text_encoder_2")),
    "network_train_text_encoder_only": one_part_only(("unet",)),
    "scale_weight_norms": to("network.max_norm", number),
    "network_args.algo": algo,
    "network_args.preset": preset,
    "network_args.conv_dim": conv("network.conv_rank", whole),
    "network_args.conv_alpha": conv("network.conv_alpha", number),
    "network_args.dropout": dropout("network.dropout"),
    "network_args.rank_dropout": dropout("network.rank_dropout"),
    "network_args.module_dropout": dropout("network.module_dropout"),
    "network_args.rank_dropout_scale": unused(
        "what is left is always scaled up to make up for what is left out."
    ),
    "network_args.loraplus_lr_ratio": to("network.plus_ratio", number),
    "network_args.loraplus_unet_lr_ratio": to("network.plus_ratio_unet", number),
    "network_args.loraplus_text_encoder_lr_ratio": to("network.plus_ratio_text", number),
    "network_args.unit": unused(ALL_RANKS),
    "network_args.block_size": unused(ALL_RANKS),
    "network_args.enable_all_linear": oft_layers,
    "network_args.enable_conv": oft_conv,
    "network_args.factor": factor,
    "network_args.use_tucker": flag("network.tucker"),
    "network_args.use_cp": flag("network.tucker"),
    "network_args.use_conv_cp": flag("network.tucker"),
    "network_args.use_scalar": flag("network.scalar"),
    "network_args.decompose_both": flag("network.decompose_both"),
    "network_args.train_norm": flag("network.train_norms"),
    "network_args.dora_wd": flag("network.decompose"),
    "network_args.rs_lora": flag("network.rank_stabilised"),
    "network_args.bypass_mode": unused("how the product is computed changes nothing about the result."),
    "network_args.constraint": to("network.constraint", number),
    "network_args.constrain": to("network.constraint", number),
    "network_args.rescaled": flag("network.rescaled"),
    "network_args.train_on_input": unused("(IA)3 is put where its paper puts it."),
    **BLOCKS,
}
