"""The environments of this project: without a WebUI, and under each WebUI whose packages we hold."""

from __future__ import annotations

from lib_dreambooth.environments.places import GIB, Environment, Layer

TESTS = Layer("the test tools", "requirements/test.txt")
CHECKS = Layer("the checks", "requirements/check.txt")
# The libraries whose networks and samplers ours are held to. Nothing of the program imports them.
COMPARED = "what tests compare with"

STANDALONE = Environment(
    name="standalone",
    folder=".venv",
    base=(Layer("the packages", "requirements/standalone.txt"),),
    for_tests=(TESTS, CHECKS, Layer(COMPARED, "requirements/compared.txt")),
    needed_bytes=3 * GIB,
)


def host(name: str, python: tuple[int, int], needed_bytes: int) -> Environment:
    """What a fresh WebUI has installed, then what our installer adds to it."""
    lock = f"requirements/hosts/{name}"
    added = Layer(
        "added",
        f"{lock}-added.txt",
        by_installer=True,
        sources=("install.py", "lib_dreambooth/environments/additions.py"),
    )
    return Environment(
        name=name,
        folder=f".venv-{name}",
        base=(Layer("the host's packages", f"{lock}.txt"), added),
        for_tests=(TESTS, Layer(COMPARED, f"{lock}-compared.txt")),
        needed_bytes=needed_bytes,
        python=python,
    )


HOSTS = {"a1111-1.10.1": host("a1111-1.10.1", (3, 10), 8 * GIB)}
