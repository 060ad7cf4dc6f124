"""What the user chose in a WebUI that is ours to obey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.host import HostSettings

SECTION = ("dreambooth", "Dreambooth")
TRAINING_FIRST = "dreambooth_training_first"
LABEL = "While a training runs, pictures wait until it has ended or is paused"
# Our name of a picture's setting, the WebUI's, and the WebUI's own default.
PICTURES: tuple[tuple[str, str, Any], ...] = (
    ("noise_source", "randn_source", "GPU"),
    ("ensd", "eta_noise_seed_delta", 0),
    ("eta", "eta_ancestral", 1.0),
    ("clip_skip", "CLIP_stop_at_last_layers", 1),
    ("emphasis", "emphasis", "Original"),
    ("comma_backtrack", "comma_padding_backtrack", 20),
)
NO_LANGUAGE = "None"
TRADITIONAL = ("tw", "hk", "hant")


def add_options() -> None:
    """Ours, on a page of their own among the WebUI's settings."""
    from modules import shared

    shared.opts.add_option(TRAINING_FIRST, shared.OptionInfo(False, LABEL, section=SECTION))


def is_training_first() -> bool:
    """The user's choice; off before there was one."""
    return bool(option(TRAINING_FIRST, False))


def settings_of_webui() -> HostSettings:
    """As they stand now."""
    from modules import shared

    flags = shared.cmd_opts
    is_closed = getattr(flags, "hide_ui_dir_config", False) or getattr(
        flags, "disable_extension_access", False
    )
    return HostSettings(
        device=device_name(),
        checkpoint=chosen_checkpoint(),
        pictures=pictures(),
        is_training_first=is_training_first(),
        may_name_folders=not is_closed,
        api_users=users(getattr(flags, "api_auth", None) or ""),
    )


def pictures() -> Mapping[str, object]:
    """What the WebUI's pictures depend on beside what stands in their text fields."""
    found: dict[str, object] = {ours: option(theirs, default) for ours, theirs, default in PICTURES}
    found["is_zero_terminal"] = option("sd_noise_schedule", "Default") == "Zero Terminal SNR"
    return found


def language_of_webui() -> str:
    """The language of the chosen localization: its file's name begins with the code, as in ja_JP or zh-CN."""
    name = str(option("localization", NO_LANGUAGE) or NO_LANGUAGE)
    if name == NO_LANGUAGE:
        return ""
    language, _, region = name.replace("_", "-").lower().partition("-")
    if language == "zh":
        # Files are named by country or by script: zh_CN, zh-Hant (Stable).
        return "zh-TW" if region.startswith(TRADITIONAL) else "zh-CN"
    return f"{language}-{region.upper()}" if len(region) == 2 else language


def chosen_checkpoint() -> str:
    """The file that the user chose to draw with, whether it is loaded yet or not."""
    from modules import sd_models

    known = getattr(sd_models, "checkpoint_aliases", {})
    found = known.get(option("sd_model_checkpoint", None))
    name = getattr(found, "filename", "")
    return str(Path(name).absolute()) if name else ""


def device_name() -> str:
    """Where it computes, with the number of the card where it was told one."""
    from modules import devices

    return str(getattr(devices, "device", "") or "")


def users(text: str) -> dict[str, str]:
    """`name:password,name:password` as a table."""
    pairs = (one.strip().partition(":") for one in text.split(","))
    return {name: password for name, colon, password in pairs if colon}


def option(name: str, default: Any) -> Any:
    """A setting of the WebUI; not every host has each."""
    from modules import shared

    return getattr(shared.opts, name, default)
