"""WebUIs as far as we touch them, with the names and signatures that each of them has.

No two are the same: a flag, a callback's argument, a module that one lacks is lacking here too.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.hosts.lines import FairLock, Told

A1111, FORGE, REFORGE, CLASSIC, NEO = "A1111", "Forge", "reForge", "Forge Classic", "Neo"
HOSTS = (A1111, FORGE, REFORGE, CLASSIC, NEO)
FORGES = (FORGE, REFORGE, CLASSIC, NEO)
CARD, CPU = SimpleNamespace(type="cuda", index=0), SimpleNamespace(type="cpu", index=None)


class Network:
    """Something with weights, somewhere."""

    def __init__(self, name: str = "", device: Any = CARD) -> None:
        self.name = name
        self.device = device

    def parameters(self) -> list[Any]:
        return [SimpleNamespace(device=self.device)]

    def to(self, device: Any) -> Network:
        self.device = device
        return self


@dataclass
class Callbacks:
    """What was registered, by callback."""

    of: dict[str, list[Callable[..., Any]]] = field(default_factory=dict)

    def taker(self, name: str, *, takes_name: bool) -> Callable[..., None]:
        if takes_name:
            return lambda callback, *, name=None, kind=name: self.of.setdefault(kind, []).append(callback)

        def on_event(callback: Callable[..., Any]) -> None:
            self.of.setdefault(name, []).append(callback)

        return on_event


@dataclass
class StandIn:
    """One host, and what was done to it."""

    kind: str
    root: Path
    told: Told = field(default_factory=Told)
    lock: FairLock = field(default_factory=FairLock)
    callbacks: Callbacks = field(default_factory=Callbacks)
    modules: dict[str, ModuleType] = field(default_factory=dict)

    def add(self, name: str, **names: Any) -> ModuleType:
        module = ModuleType(name)
        module.__dict__.update(names)
        self.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent in self.modules:
            setattr(self.modules[parent], child, module)
        return module

    def __getattr__(self, name: str) -> Any:
        """A module of the host's own."""
        found = self.__dict__["modules"].get(f"modules.{name}")
        if found is None:
            raise AttributeError(name)
        return found

    def noted(self, text: str) -> Callable[..., None]:
        return lambda *_, **__: self.told.log.append(text)


def stand_in(kind: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The host, imported as far as a real one is when it loads scripts."""
    host = StandIn(kind, root)
    host.add("modules", __path__=[])
    host.add("modules.call_queue", queue_lock=host.lock)
    host.add("modules.progress", pending_tasks=OrderedDict(), current_task=None)
    host.add("modules.paths", models_path=str(root / "models"), data_path=str(root))
    host.add("modules.devices", cpu=CPU, device="cuda:0", torch_gc=host.noted("gc"))
    add_shared(host)
    add_scripts(host)
    add_models(host)
    add_memory(host)
    for name, module in host.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return host


def add_shared(host: StandIn) -> None:
    flags: dict[str, Any] = {"api_auth": None, "webui_is_non_local": False, "embeddings_dir": None}
    if host.kind == NEO:
        flags |= {
            "ckpt_dirs": [],
            "lora_dirs": [],
            "vae_dirs": [],
            "embeddings_dir": str(host.root / "words"),
        }
    else:
        flags |= {
            "ckpt_dir": None,
            "lora_dir": str(host.root / "models" / "Lora"),
            "hide_ui_dir_config": False,
        }
    options = MadeOptions()
    host.add(
        "modules.shared",
        opts=options,
        cmd_opts=SimpleNamespace(**flags),
        state=SimpleNamespace(
            job="", textinfo=None, interrupted=False, skipped=False, begin=host.noted("begin")
        ),
        OptionInfo=lambda default, label, section: SimpleNamespace(
            default=default, label=label, section=section
        ),
    )
    if host.kind in (A1111, REFORGE):
        host.shared.loaded_hypernetworks = []
    if host.kind not in (NEO, CLASSIC):
        host.shared.interrogator = SimpleNamespace(blip_model=None, clip_model=None)
    host.shared.face_restorers = []


class MadeOptions:
    """Settings as attributes, after those that were added."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"sd_model_checkpoint": "one.safetensors", "sd_vae": "Automatic"}
        self.labels: dict[str, Any] = {}

    def add_option(self, key: str, info: Any) -> None:
        self.labels[key] = info
        self.data.setdefault(key, info.default)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None


def add_scripts(host: StandIn) -> None:
    takes_name = host.kind != CLASSIC
    names = ["on_ui_tabs", "on_ui_settings", "on_app_started"]
    host.add(
        "modules.script_callbacks",
        **{name: host.callbacks.taker(name, takes_name=takes_name) for name in names},
    )
    host.add("modules.scripts", Script=type("Script", (), {}), AlwaysVisible=object())
    host.add("modules.scripts_postprocessing", ScriptPostprocessing=type("ScriptPostprocessing", (), {}))


def add_models(host: StandIn) -> None:
    host.add("networks", list_available_networks=host.noted("list loras"))
    if host.kind in (FORGE, REFORGE, CLASSIC):
        host.modules["networks"].load_lora_state_dict = SimpleNamespace(  # type: ignore[attr-defined]
            cache_clear=host.noted("forget loras")
        )
    data = SimpleNamespace(sd_model=None, loaded_sd_models=[], was_loaded_at_least_once=True)
    data.lock = threading.Lock()
    host.add(
        "modules.sd_models", model_data=data, checkpoint_aliases={}, list_models=host.noted("list models")
    )
    if host.kind == A1111:
        host.sd_models.send_model_to_cpu = lambda model: move(host, model, CPU)
        host.sd_models.send_model_to_device = lambda model: move(host, model, CARD)
    elif host.kind in (FORGE, NEO):
        host.sd_models.send_model_to_cpu = host.sd_models.send_model_to_device = lambda model: None
    words = SimpleNamespace(load_textual_inversion_embeddings=host.noted("read words"))
    if host.kind in (FORGE, NEO):
        host.words = words  # type: ignore[attr-defined]
    else:
        host.add("modules.sd_hijack", model_hijack=SimpleNamespace(embedding_db=words))


def move(host: StandIn, model: Network, device: Any) -> None:
    host.told.log.append(f"{model.name} to {device.type}")
    model.to(device)


def add_memory(host: StandIn) -> None:
    if host.kind == A1111:
        return
    host.add("modules_forge")
    name = (
        "backend.memory_management" if host.kind in (FORGE, NEO) else "ldm_patched.modules.model_management"
    )
    loaded: list[Any] = []

    def unload_all_models() -> None:
        host.told.log.append("unload all")
        loaded.clear()

    host.add(
        name,
        current_loaded_models=loaded,
        unload_all_models=unload_all_models,
        soft_empty_cache=host.noted("empty cache"),
    )


def manager_of(host: StandIn) -> Any:
    """A Forge's memory manager."""
    return next(module for name, module in host.modules.items() if "_management" in name)
