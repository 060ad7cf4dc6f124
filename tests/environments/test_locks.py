"""The locks: exact, whole, for every Python that run.py takes, and free of what torch brings itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomlkit
from packaging.requirements import Requirement
from packaging.version import Version

from lib_dreambooth.environments import additions, known, places, recorded
from lib_dreambooth.environments.additions import Host

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(path.relative_to(ROOT).as_posix() for path in REQUIREMENTS.rglob("*.txt"))
SYSTEMS = [
    {"sys_platform": "win32", "platform_machine": "AMD64"},
    {"sys_platform": "linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_machine": "arm64"},
]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def lines(lock: str) -> list[Requirement]:
    text = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in text if line and not line.startswith("#")]


def pins(lock: str, python: str, system: dict[str, str]) -> dict[str, str]:
    """What pip would install: normal names and versions."""
    environment = {
        **system,
        "python_version": python,
        "python_full_version": f"{python}.5",
        "platform_python_implementation": "CPython",
    }
    found: dict[str, str] = {}
    for requirement in lines(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = recorded.normal(requirement.name)
            assert name not in found, f"{lock}: {name} is there twice for Python {python}, {system}"
            (specifier,) = requirement.specifier
            found[name] = specifier.version
    return found


def groups() -> dict[str, list[Requirement]]:
    data = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
    extras = data["project"]["optional-dependencies"]
    return {
        "requirements/standalone.txt": [
            Requirement(text)
            for text in (*data["project"]["dependencies"], *extras["standalone"], *extras["training"])
        ],
        "requirements/test.txt": [Requirement(text) for text in data["dependency-groups"]["test"]],
        "requirements/check.txt": [Requirement(text) for text in data["dependency-groups"]["check"]],
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_one_exact_version(lock: str) -> None:
    for requirement in lines(lock):
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert Version(next(iter(requirement.specifier)).version).local is None, requirement
        assert requirement.url is None, requirement


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: f"{s['sys_platform']}-{s['platform_machine']}")
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "lock", ["requirements/standalone.txt", "requirements/test.txt", "requirements/check.txt"]
)
def test_the_lock_holds_what_the_project_asks_for(lock: str, python: str, system: dict[str, str]) -> None:
    pinned = pins(lock, python, system)
    for requirement in groups()[lock]:
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            assert requirement.specifier.contains(pinned[recorded.normal(requirement.name)])


@pytest.mark.parametrize("python", PYTHONS)
def test_locks_of_one_environment_do_not_contradict(python: str) -> None:
    for environment in (known.STANDALONE, *known.HOSTS.values()):
        if environment.python and python != f"{environment.python[0]}.{environment.python[1]}":
            continue
        for system in SYSTEMS:
            seen: dict[str, str] = {}
            for layer in (*environment.base, *environment.for_tests):
                for name, version in pins(layer.lock, python, system).items():
                    assert seen.setdefault(name, version) == version, (
                        f"{environment.name}: {name}, {layer.lock}"
                    )


def test_torch_is_the_one_tried_and_brings_its_own_cuda() -> None:
    names = {requirement.name for requirement in lines("requirements/standalone.txt")}
    assert not [name for name in names if re.match(r"nvidia-|cuda-|triton|torchvision", name)]
    assert pins("requirements/standalone.txt", "3.11", SYSTEMS[1])["torch"] == "2.13.0"


def test_additions_to_a_host_are_those_of_the_table() -> None:
    for name, environment in known.HOSTS.items():
        assert environment.python is not None
        installed = pins(f"requirements/hosts/{name}.txt", "3.10", SYSTEMS[1])
        plan = additions.plan(Host(environment.python, installed))
        added = pins(f"requirements/hosts/{name}-added.txt", "3.10", SYSTEMS[1])
        assert {each.package.name: each.version for each in plan.add}.items() <= added.items()
        assert not set(added) & set(installed), "an addition is a package of the host"


def test_a_lock_is_the_same_with_either_line_end(tmp_path: Path) -> None:
    layer = places.Layer("x", "x.txt")
    (tmp_path / "x.txt").write_bytes(b"a==1\nb==2\n")
    unix = places.fingerprint(tmp_path, layer)
    (tmp_path / "x.txt").write_bytes(b"a==1\r\nb==2\r\n")
    assert places.fingerprint(tmp_path, layer) == unix
    (tmp_path / "x.txt").write_bytes(b"a==1\nb==3\n")
    assert places.fingerprint(tmp_path, layer) != unix
