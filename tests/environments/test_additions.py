"""What is added to each WebUI of the family: the packages of a fresh install in, additions out."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from lib_dreambooth.environments import additions
from lib_dreambooth.environments.additions import Host, Off

ROOT = Path(__file__).resolve().parents[2]

A1111 = {
    "torch": "2.1.2+cu121",
    "transformers": "4.30.2",
    "accelerate": "0.21.0",
    "huggingface-hub": "0.36.2",
    "safetensors": "0.4.2",
    "numpy": "1.26.2",
    "pillow": "9.5.0",
    "protobuf": "3.20.0",
    "psutil": "5.9.5",
    "tqdm": "4.70.1",
}
FORGE = {
    **A1111,
    "torch": "2.3.1+cu121",
    "transformers": "4.46.1",
    "accelerate": "0.31.0",
    "diffusers": "0.31.0",
    "huggingface-hub": "0.26.2",
    "bitsandbytes": "0.45.3",
}
REFORGE = {
    **A1111,
    "torch": "2.9.0+cu128",
    "transformers": "4.48.1",
    "diffusers": "0.32.2",
    "huggingface-hub": "0.25.0",
    "safetensors": "0.5.2",
    "numpy": "1.26.4",
    "pillow": "10.4.0",
}
CLASSIC = {
    **A1111,
    "torch": "2.6.0+cu126",
    "diffusers": "0.31.0",
    "huggingface-hub": "0.26.5",
    "protobuf": "3.20.3",
}
NEO = {
    **A1111,
    "torch": "2.11.0+cu130",
    "transformers": "4.56.2",
    "accelerate": "1.13.0",
    "diffusers": "0.37.1",
    "huggingface-hub": "0.36.2",
    "safetensors": "0.7.0",
    "numpy": "2.3.5",
    "pillow": "12.2.0",
    "protobuf": "4.25.9",
    "psutil": "7.2.2",
}

ALWAYS = ["msgspec==0.22.0", "tomlkit==0.14.0", "pytorch-optimizer==4.1.0", "tensorboardx==2.6.5"]

OLD_PYTHON = ["tomli==2.5.0"]
OLD_TORCH = ["bitsandbytes==0.45.5", "lycoris-lora==3.4.0", "onnxruntime==1.23.2"]
NEW_TORCH = ["bitsandbytes==0.49.2", "lycoris-lora==4.1.3", "onnxruntime==1.23.2"]

FAMILY = [
    pytest.param((3, 10), A1111, [*OLD_TORCH, *OLD_PYTHON], id="a1111"),
    pytest.param((3, 11), A1111, OLD_TORCH, id="a1111-py311"),
    pytest.param((3, 10), FORGE, [*OLD_TORCH[1:], *OLD_PYTHON], id="forge"),
    pytest.param((3, 10), REFORGE, [*NEW_TORCH, *OLD_PYTHON], id="reforge"),
    pytest.param((3, 13), REFORGE, NEW_TORCH, id="reforge-py313"),
    pytest.param((3, 10), CLASSIC, [NEW_TORCH[0], *OLD_TORCH[1:], *OLD_PYTHON], id="classic"),
    pytest.param((3, 13), NEO, [*NEW_TORCH[:2], "onnxruntime==1.31.1"], id="neo"),
]


def host(installed: dict[str, str], python: tuple[int, int] = (3, 10)) -> Host:
    return Host(python=python, installed=installed)


def requirements(plan: additions.Plan) -> list[str]:
    return sorted(addition.requirement for addition in plan.add)


@pytest.mark.parametrize(("python", "installed", "expected"), FAMILY)
def test_each_host_of_the_family(
    python: tuple[int, int], installed: dict[str, str], expected: list[str]
) -> None:
    plan = additions.plan(host(installed, python))
    assert requirements(plan) == sorted([*expected, *ALWAYS])
    assert plan.off == ()


@pytest.mark.parametrize(("python", "installed", "expected"), FAMILY)
def test_nothing_is_left_to_do_after_it(
    python: tuple[int, int], installed: dict[str, str], expected: list[str]
) -> None:
    first = additions.plan(host(installed, python))
    after = {**installed, **{each.package.name: each.version for each in first.add}}
    assert additions.plan(host(after, python)) == additions.Plan((), ())
    assert additions.missing(host(after, python)) == ()


@pytest.mark.parametrize(
    "change", [{"diffusers": "0.20.0"}, {"huggingface-hub": "0.17.3"}, {"transformers": "4.25.1"}]
)
def test_libraries_that_nothing_here_imports_are_not_looked_at(change: dict[str, str]) -> None:
    as_it_is, changed = additions.plan(host(A1111)), additions.plan(host({**A1111, **change}))
    assert changed == as_it_is and not set(additions.names()) & set(change)


def test_what_is_missing_is_said_until_it_is_there() -> None:
    without = {**A1111, **{each.package.name: each.version for each in additions.plan(host(A1111)).add}}
    del without["lycoris-lora"]
    found = additions.missing(host(without))
    assert [off.sentence() for off in found] == [
        "LoHa, LoKr, (IA)3, DoRA, OFT and GLoRA: off. lycoris-lora is not installed."
    ]


@pytest.mark.parametrize(
    ("change", "feature", "words"),
    [
        ({"msgspec": "0.17.0"}, "training", ["msgspec 0.18 or newer", "0.17 is installed and stays"]),
        ({"torch": "3.1.0"}, "8-bit optimizers", ["torch 2.0 up to 2.4", "this WebUI has 3.1"]),
        ({"torch": "2.0.1+cu118"}, "training", ["torch 2.1.2", "2.0.1", "Update the WebUI"]),
        ({"safetensors": "0.3.1"}, "training", ["safetensors 0.4.2", "0.3.1"]),
        ({"protobuf": "3.19.6"}, "TensorBoard logs", ["protobuf 3.20", "3.19.6"]),
        ({"lycoris-lora": "1.8.3"}, "LoHa, LoKr, (IA)3, DoRA, OFT and GLoRA", ["lycoris-lora 3.0", "1.8.3"]),
    ],
)
def test_what_does_not_fit_is_off_with_the_reason(
    change: dict[str, str], feature: str, words: list[str]
) -> None:
    plan = additions.plan(host({**A1111, **change}))
    reasons = [off.sentence() for off in plan.off if off.feature == feature]
    assert len(reasons) == 1
    assert all(word in reasons[0] for word in words), reasons[0]
    assert not {name.split("==")[0] for name in requirements(plan)} & set(change)


def test_a_python_that_brings_a_package_itself_is_never_short_of_it() -> None:
    def short(python: tuple[int, int]) -> set[str]:
        return {package.name for package in additions.packages(python)}

    assert short((3, 10)) - short((3, 11)) == {"tomli"} and short((3, 11)) < short((3, 10))
    assert short((3, 10)) == {package.name for package in additions.PACKAGES}


def test_another_python_than_the_webuis_is_told_apart() -> None:
    plan = additions.plan(host({}))
    assert plan.add == ()
    assert plan.off == (
        Off("training", "This Python has no torch; it is not a WebUI's, or the WebUI is not installed yet."),
    )


def test_a_gpu_build_of_onnxruntime_is_enough() -> None:
    plan = additions.plan(host({**A1111, "onnxruntime-gpu": "1.17.0"}))
    assert not [name for name in requirements(plan) if name.startswith("onnxruntime")]


def test_bitsandbytes_never_asks_for_another_torch() -> None:
    # What it asks for itself: 0.45.5 torch>=2.0, 0.49.2 torch>=2.3. For more, pip would replace the WebUI's.
    for torch in ("2.1.2", "2.2.0", "2.3.1", "2.3.1+cu121"):
        assert "bitsandbytes==0.45.5" in requirements(additions.plan(host({**A1111, "torch": torch})))


def test_names_are_what_the_table_asks_for() -> None:
    assert set(additions.names()) >= {"torch", "msgspec", "lycoris-lora", "protobuf", "onnxruntime-gpu"}
    assert "python" not in additions.names()


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=4),
    st.sampled_from(["", "+cu121", "rc1", ".post1", ".dev0"]),
)
def test_numbers_order_versions_as_pip_does(parts: list[int], tail: str) -> None:
    text = ".".join(map(str, parts))
    ours = additions.numbers(text + tail)
    assert ours == additions.numbers(text)
    assert (ours < additions.numbers("2.1.2")) == (Version(text) < Version("2.1.2"))


def test_the_dependency_list_and_the_table_agree() -> None:
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()["project"]
    needed = {r.name.lower(): r for r in map(Requirement, project["dependencies"])}
    wished = {r.name.lower(): r for r in map(Requirement, project["optional-dependencies"]["training"])}
    required = {package.name for package in additions.PACKAGES if package.is_required}
    optional = {package.name for package in additions.PACKAGES if not package.is_required}

    assert set(needed) == required | set(additions.FROM_HOST)
    # Every WebUI brings accelerate, and only the launch of several processes uses it.
    assert set(wished) == optional | {"accelerate"}
    for name, oldest in additions.FROM_HOST.items():
        assert str(needed[name].specifier) == f">={oldest}"
    for package in additions.PACKAGES:
        asked = {**needed, **wished}[package.name].specifier
        for fit in package.fits:
            assert asked.contains(fit.version), (
                f"{package.name} {fit.version} is older than pyproject.toml allows"
            )
