"""What a WebUI's loader reads, told from its code: stand-ins with the keys that each host looks for."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from lib_dreambooth.hosts.webui_reads import LOADERS, what_is_read

# Where the keys stand in A1111 1.10.1: in functions, in classes' methods, as parts of longer texts.
A1111 = {
    "networks": """
def load_network(name):
    def kept(key): return key == "bundle_emb"
    return kept(name)
""",
    "network": """
class NetworkModule:
    def __init__(self, weights): self.dora_scale = weights.get("dora_scale", None)
""",
    "network_lora": """
class ModuleTypeLora:
    def create_module(self, w): return all(x in w for x in ["lora_up.weight", "lora_down.weight"])
""",
    "network_ia3": """
class NetworkModuleIa3:
    def __init__(self, w): self.on_input = w["on_input"].item()
""",
    "network_oft": """
class ModuleTypeOFT:
    def create_module(self, w): return "oft_blocks" in w or "oft_diag" in w
""",
}
# Forge keeps the field of bundled words without reading any; its extension's loader is elsewhere.
FORGE = {
    "networks": "loaded_bundle_embeddings = {}\ndef load_lora(): return 'bundle'",
    "network": "class Network:\n    def __init__(self): self.bundle_embeddings = {}",
    "packages_3rdparty.comfyui_lora_collection.lora": """
import functools
@functools.lru_cache
def load_lora(x): return "{}.lora_up.weight".format(x), "{}.dora_scale".format(x)
""",
}
CLASSIC = {"ldm_patched.modules.lora": 'def load_lora(x): return "{}.lora_up.weight".format(x)'}
REFORGE = {
    "ldm_patched.modules.lora": """
def load_lora(x): return "{}.lora_up.weight".format(x), "{}.dora_scale".format(x), "{}.oft_blocks".format(x)
"""
}


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (A1111, {"bundle", "ia3", "oft", "dora"}),
        (FORGE, {"dora"}),
        (REFORGE, {"dora", "oft"}),
        (CLASSIC, set()),
    ],
)
def test_what_is_read(modules: dict[str, str], expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    put(modules, monkeypatch)
    assert what_is_read() == expected


@pytest.mark.parametrize("modules", [{}, {"networks": "def list_available_networks(): return 'bundle_emb'"}])
def test_a_loader_that_was_not_found_says_nothing(
    modules: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(modules, monkeypatch)
    assert what_is_read() is None


def test_what_a_module_only_borrows_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    put({**CLASSIC, "networks": "from tests.hosts.test_webui_reads import borrowed"}, monkeypatch)
    assert what_is_read() == frozenset()


def borrowed() -> str:
    return "bundle_emb"


def put(modules: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOADERS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name, text in modules.items():
        module = ModuleType(name)
        exec(text, vars(module))
        monkeypatch.setitem(sys.modules, name, module)
