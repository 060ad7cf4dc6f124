"""The WebUI's lists of files, read anew after something was saved."""

from __future__ import annotations

import sys
from typing import Any

from lib_dreambooth.base.host import ADAPTERS, CHECKPOINTS, EMBEDDINGS

# Attributes under which Forge and Neo keep the engines that read embeddings when a model is loaded.
ENGINES = ("text_processing_engine", "text_processing_engine_l", "text_processing_engine_g")


def refresh_list(kind: str) -> None:
    """Has the WebUI look again for files of a kind of base.host."""
    if kind == ADAPTERS:
        refresh_adapters()
    elif kind == CHECKPOINTS:
        refresh_checkpoints()
    elif kind == EMBEDDINGS:
        refresh_embeddings()


def refresh_adapters() -> None:
    """Through the Lora extension that comes with every WebUI, if it is not switched off."""
    networks = sys.modules.get("networks")
    if networks is None:
        return
    # Forge, reForge and Classic remember files by their names alone.
    cache_clear = getattr(getattr(networks, "load_lora_state_dict", None), "cache_clear", None)
    if cache_clear is not None:
        cache_clear()
    networks.list_available_networks()


def refresh_checkpoints() -> None:
    """Listing chooses the file that `--ckpt` names, if it does: what the user chose stays chosen."""
    from modules import sd_models, shared

    chosen = shared.opts.data.get("sd_model_checkpoint")
    sd_models.list_models()
    if chosen is not None and chosen in getattr(sd_models, "checkpoint_aliases", ()):
        shared.opts.data["sd_model_checkpoint"] = chosen


def refresh_embeddings() -> None:
    """Those that fit the loaded model; without one they are read when one is loaded."""
    model = loaded_model()
    if model is None:
        return
    hijack = getattr(sys.modules.get("modules.sd_hijack"), "model_hijack", None)
    database = getattr(hijack, "embedding_db", None)
    if database is not None:
        database.load_textual_inversion_embeddings(force_reload=True)
        return
    for name in ENGINES:
        for engine in (getattr(model, name, None),):
            found = getattr(engine, "embeddings", engine)
            load = getattr(found, "load_textual_inversion_embeddings", None)
            if load is not None:
                load()


def loaded_model() -> Any | None:
    """The chosen model, without causing it to be loaded."""
    from modules import sd_models

    data = getattr(sd_models, "model_data", None)
    if data is None or not getattr(data, "was_loaded_at_least_once", True):
        return None
    return data.sd_model
