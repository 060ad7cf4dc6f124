"""What the extension adds to the start of a WebUI: from the command until its page answers, by turns.

A WebUI is given by its folder and its Python, with which `install.py` was run before. It is started by its
own `launch.py`, which runs an extension's `install.py`, on a data folder of its own: nothing of the user's is
read or written. It loads no checkpoint and asks no network. Started are, each in a process of its own:

- "without": neither the extension nor the packages that its `install.py` adds, which are hidden;
- "packages": these are there; other packages of a WebUI import some of them where they find them;
- "with": the extension as well.

The WebUI notes itself how long each part of its start took, by the clock. Entries that are there "with" the
extension only are its own; `noting` adds those that the WebUI does not tell apart. One look for garbage among
all objects (0.4 s) falls into "create ui" or "gradio launch": the two have to be taken together.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.race.link import Died
from lib_dreambooth.environments import additions

ROOT = Path(__file__).resolve().parents[2]
HIDING, NOTING = Path(__file__).with_name("hiding"), Path(__file__).with_name("noting.py")
WITHOUT, PACKAGES, WITH = "without", "packages", "with"
KINDS = (WITHOUT, PACKAGES, WITH)
NAME = "sd-webui-dreambooth"
IMPORTED_AS = {
    "lycoris-lora": "lycoris",
    "pytorch-optimizer": "pytorch_optimizer",
    "tensorboardx": "tensorboardX",
}
HIDDEN = tuple(IMPORTED_AS.get(package.name, package.name) for package in additions.PACKAGES)

OPTIONS = (
    *("--skip-torch-cuda-test", "--use-cpu", "all", "--no-half", "--skip-load-model-at-start"),
    *("--no-download-sd-model", "--do-not-download-clip", "--no-hashing"),
)
# No network for git, pip and Hugging Face's library; no browser; no options and no modules of the user's.
ENVIRONMENT = {
    "PYTHONPATH": "",
    "GIT_ALLOW_PROTOCOL": "file",
    "PIP_NO_INDEX": "1",
    "HF_HUB_OFFLINE": "1",
    "SD_WEBUI_RESTARTING": "1",
    "COMMANDLINE_ARGS": "",
    "PYTHONIOENCODING": "utf-8",
}
# msgspec: an extension without what it needs says so in its tab, which takes no time.
VERSIONS = """
import json, platform
from importlib.metadata import version
found = {name: version(name) for name in ("torch", "gradio", "msgspec")}
print(json.dumps({"python": platform.python_version(), **found}))
"""
RECORD = "internal/profile-startup"
ASK_EVERY_S = 0.05
LIMIT_S = 600.0


def start_up(webui: Path, python: str, folder: Path, rounds: int) -> dict[str, Any]:
    """So many starts of each kind by turns, on data folders made in `folder`; one ahead is not measured."""
    # A virtual environment's Python is a link that must not be followed.
    webui, folder, python = (
        webui.resolve(),
        folder.resolve(),
        str(Path(shutil.which(python) or python).absolute()),
    )
    versions = asked_versions(webui, python)
    started: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        make_data(folder / kind, kind)
        # Python compiles, and the WebUI writes its settings for the first time.
        start(webui, python, folder / kind, kind)
    for _ in range(rounds):
        for kind in KINDS:
            started[kind].append(start(webui, python, folder / kind, kind))
    found = {kind: medians(each) for kind, each in started.items()}
    return {
        "versions": versions,
        "command": ["PYTHON", *arguments(Path("FOLDER"), "PORT")],
        "hidden": HIDDEN,
        "starts": found,
        "added": {kind: added(found[WITHOUT], found[kind]) for kind in (PACKAGES, WITH)},
        "own": own(started[WITH], known={name for one in started[PACKAGES] for name in one["record"]}),
    }


def make_data(data: Path, kind: str) -> None:
    """A WebUI's data folder, with the tracked files of this repository as an extension or without them."""
    copy(NOTING, data / "extensions" / "noting" / "scripts" / NOTING.name)
    if kind == WITH:
        for name in tracked():
            copy(ROOT / name, data / "extensions" / NAME / name)


def tracked() -> list[str]:
    """The files of this repository, without what lies beside them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return [name for name in listed.decode("utf-8").split("\0") if name]


def copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def start(webui: Path, python: str, data: Path, kind: str) -> dict[str, Any]:
    """One start, ended as soon as the page has answered."""
    port = free_port()
    environment = {**os.environ, **ENVIRONMENT}
    if kind == WITHOUT:
        environment |= {"PYTHONPATH": str(HIDING), "HIDDEN_PACKAGES": ",".join(HIDDEN)}
    log = data.with_suffix(".txt")
    with log.open("wb") as file:
        began = time.perf_counter()
        process = psutil.Popen(
            [python, *arguments(data, str(port))],
            cwd=webui, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            record = awaited(process, f"http://127.0.0.1:{port}/", log)
            return {"wall_s": time.perf_counter() - began, "cpu_s": processor_s(process), "record": record}
        finally:
            end(process)


def arguments(data: Path, port: str) -> list[str]:
    """What users type, with what a machine without a card and without checkpoints needs."""
    return ["launch.py", "--data-dir", str(data), "--port", port, *OPTIONS]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def awaited(process: psutil.Popen, url: str, log: Path) -> dict[str, float]:
    """The WebUI's record of its start, once everything is done and its page has answered too."""
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit and process.poll() is None:
        record = json.loads(answer(url + RECORD) or "null")
        if record and answer(url):
            return dict(record["records"])
        time.sleep(ASK_EVERY_S)
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
    raise Died("\n".join(["the WebUI did not start:", *last]))


def answer(url: str) -> bytes:
    """What is there; nothing where nobody answers yet."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=LIMIT_S) as found:
            return bytes(found.read())
    except OSError:
        return b""


def processor_s(process: psutil.Process) -> float:
    """Of a process, of those it began, and of those that ended, which Windows forgets (`install.py`'s)."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def end(process: psutil.Process) -> None:
    """With those it began: a virtual environment's Python on Windows is two processes."""
    alive = [process]
    with suppress(psutil.NoSuchProcess):
        alive += process.children(recursive=True)
    for ending in (psutil.Process.terminate, psutil.Process.kill):
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                ending(one)
        _, alive = psutil.wait_procs(alive, timeout=60)


def medians(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of several starts, with the parts that the WebUI's record has."""
    found: dict[str, Any] = {}
    for key in ("wall_s", "cpu_s"):
        found[key] = round(statistics.median(one[key] for one in each), 3)
        found[f"all_{key}"] = [round(one[key], 2) for one in each]
    parts = [name for name in each[0]["record"] if "/" not in name]
    return {**found, "record": {name: median(each, name) for name in parts}}


def added(without: dict[str, Any], more: dict[str, Any]) -> dict[str, float]:
    return {key: round(more[key] - without[key], 3) for key in ("wall_s", "cpu_s")}


def own(each: Sequence[dict[str, Any]], known: set[str]) -> dict[str, Any]:
    """The entries of the WebUI's record that are not known from starts without the extension."""
    parts = {name: median(each, name) for name in each[0]["record"] if name not in known}
    return {"seconds": round(sum(parts.values()), 4), "parts": parts}


def median(each: Sequence[dict[str, Any]], name: str) -> float:
    return round(statistics.median(one["record"].get(name, 0.0) for one in each), 4)


def asked_versions(webui: Path, python: str) -> dict[str, str]:
    """The WebUI's as its list of changes says it, and what it stands on."""
    changes = (webui / "CHANGELOG.md").read_text(encoding="utf-8").split("\n")
    asked = subprocess.run([python, "-c", VERSIONS], stdout=subprocess.PIPE, check=True, encoding="utf-8")
    return {"webui": changes[0].lstrip("# "), **json.loads(asked.stdout)}
