"""What the benchmark of a WebUI's start measures, with a played WebUI that has the same routes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.race import webui
from benchmarks.race.link import Died

LAUNCH = """
import argparse, http.server, importlib.util, json, pathlib, socketserver

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--data-dir", type=pathlib.Path)
args = parser.parse_known_args()[0]
extensions = {folder.name for folder in (args.data_dir / "extensions").iterdir()}
records = {"create ui": 0.5, "load scripts": 1.0}
records |= {f"load scripts/{name}": 0.25 for name in extensions}
if importlib.util.find_spec("tomlkit"):
    records["tomlkit"] = 2.0
answers = iter([None, {"records": records}])

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(next(answers) if "profile" in self.path else "page").encode())

socketserver.TCPServer(("127.0.0.1", args.port), Page).serve_forever()
"""


def played(folder: Path, launch: str) -> Path:
    folder.mkdir()
    (folder / "CHANGELOG.md").write_text("## 1.10.1\n\n### Fixes\n", encoding="utf-8")
    (folder / "launch.py").write_text(launch, encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(webui, "tracked", lambda: ["install.py", "scripts/dreambooth.py"])
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_the_kinds_differ_in_the_packages_and_the_extension(tmp_path: Path, data: Path) -> None:
    found = webui.start_up(played(tmp_path / "webui", LAUNCH), sys.executable, data, rounds=2)
    records = {kind: row["record"] for kind, row in found["starts"].items()}
    plain = {"create ui": 0.5, "load scripts": 1.0}
    assert records == {
        "without": plain,
        "packages": plain | {"tomlkit": 2.0},
        "with": plain | {"tomlkit": 2.0},
    }
    assert found["own"] == {"seconds": 0.25, "parts": {"load scripts/sd-webui-dreambooth": 0.25}}
    assert all(len(row[key]) == 2 for row in found["starts"].values() for key in ("all_wall_s", "all_cpu_s"))
    assert found["versions"]["webui"] == "1.10.1"
    assert "FOLDER" in found["command"] and str(tmp_path) not in str(found)


def test_a_webui_that_ends_says_why(tmp_path: Path, data: Path) -> None:
    with pytest.raises(Died, match="no torch here"):
        webui.start_up(
            played(tmp_path / "webui", "raise SystemExit('no torch here')"), sys.executable, data, 1
        )
