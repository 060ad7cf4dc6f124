from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.app import main
from lib_dreambooth.cli import program
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.table import ROWS
from lib_dreambooth.settings.fields import all_fields
from lib_dreambooth.settings.files import read_file


def text(*words: str, code: int = 0) -> tuple[str, str]:
    """What a command says to people: answer and remarks."""
    out = Out(io.StringIO(), io.StringIO())
    assert program.main(["settings", *words], ROWS, out) == code, out.stderr.getvalue()  # type: ignore[attr-defined]
    return out.stdout.getvalue(), out.stderr.getvalue()  # type: ignore[attr-defined]


def data(*words: str, code: int = 0) -> Any:
    """What a command says to programs."""
    out = Out(io.StringIO(), io.StringIO(), as_json=True)
    assert program.main(["settings", *words], ROWS, out) == code
    return json.loads(out.stdout.getvalue())  # type: ignore[attr-defined]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[rates]\nlearning_rate = 5e-5\npower = 2.0\n[[concepts]]\nfolder = "pics"\n', encoding="utf-8"
    )
    return str(path)


def test_list() -> None:
    answer, _ = text("list")
    for field in all_fields():
        assert f"  {field.path} " in answer and field.option.label in answer
    assert "rates.learning_rate" in text("list", "--basic")[0]
    assert "rates.power" not in text("list", "--basic")[0]
    assert [entry["path"] for entry in data("list", "parts.unet")["settings"]][:2] == [
        "parts.unet.train",
        "parts.unet.rate",
    ]
    assert "There are: model, concepts" in text("list", "reits", code=2)[1]


@pytest.mark.parametrize(
    "word", ["network_dim", "Network Rank (Dimension)", "lora_unet_rank", "network.rank"]
)
def test_find_by_any_name(word: str) -> None:
    assert data("find", word)["settings"][0]["path"] == "network.rank"
    answer, _ = text("find", *word.split())
    assert answer.startswith("network.rank  Network Rank (Dimension)\n")
    assert "kohya: network_dim, dim; old extension: lora_unet_rank" in answer


def test_find_by_text_and_not_at_all() -> None:
    assert "noise.offset" in text("find", "brightness")[0]
    assert 'no setting is known as "xyzzy"' in text("find", "xyzzy", code=2)[1]


def test_show_tells_values_and_sources(file: str) -> None:
    preset = ("--preset", "Object/Style", "--pictures", "12")
    answer, remarks = text("show", file, "--network.rank", "4", *preset)
    rows = [line.split() for line in answer.splitlines()]
    assert ["network.rank", "4", "command", "line"] in rows
    assert ["concepts.0.folder", "pics", "file", "mine.toml"] in rows
    assert ["length.train_for", "1200", "steps", "preset", "Object/Style"] in rows
    assert "rates.power: Polynomial Power = 2 has no effect in this run" in remarks
    found = data("show", file, "--set", "network.rank=4")
    assert found["settings"]["network"]["rank"] == 4 and found["sources"]["network.rank"] == "command line"
    assert [notice["where"] for notice in found["notices"]] == ["rates.power"]
    assert "precision.tf32" in text("show", file, "--all")[0]


def test_show_tells_every_problem(file: str) -> None:
    _, remarks = text("show", file, "--network.rank", "0", "--rates.lr", "1", code=2)
    assert remarks.splitlines() == [
        "network.rank: 0 is out of range. Allowed: a whole number, 1 to 4096.",
        'rates.lr: there is no setting "rates.lr". Did you mean rates.learning_rate?',
    ]
    problems = data("show", file, "--network.rank", "0", code=2)["error"]["problems"]
    assert [(problem["where"], problem["code"]) for problem in problems] == [("network.rank", "out-of-range")]


def test_check(file: str) -> None:
    _, remarks = text("check", file, code=2)
    assert "model.base: no source checkpoint is chosen." in remarks
    found = data("check", file, code=2)
    assert [problem["where"] for problem in found["problems"]] == ["model.base"]
    answer, _ = text("check", file, "--model.base", "a.safetensors")
    assert answer == "Nothing is wrong or missing.\n"


def test_a_flag_can_mend_what_contradicts_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[ema]\nuse = true\nsave = "live"\npreview = "live"\n', encoding="utf-8")
    assert "ema.save" in text("show", str(path), code=2)[1]
    assert text("show", str(path), "--ema.save", "average")[1] == ""


def test_diff(file: str) -> None:
    assert text("diff", "defaults", file)[0].splitlines() == [
        "concepts.0.name: - -> empty",
        *text("diff", "defaults", file)[0].splitlines()[1:],
    ]
    assert "rates.learning_rate: 1e-4 -> 5e-5" in text("diff", "defaults", file)[0]
    changes = data("diff", file, "Person", "--pictures", "20")["changes"]
    found = {change["path"]: (change["before"], change["after"]) for change in changes}
    assert found["rates.learning_rate"] == (5e-5, 1e-4)
    assert found["length.train_for"] == ("10 epochs", "3000 steps")
    assert text("diff", file, file)[0] == "Nothing differs.\n"
    assert 'there is no preset "Persona"' in text("diff", file, "Persona", code=2)[1]


def test_presets() -> None:
    assert text("presets")[0].startswith("Person ")
    assert data("presets")["presets"][0]["settings"]["network"] == {"rank": 16, "alpha": 8}


def test_write_keeps_comments(tmp_path: Path, file: str) -> None:
    to = tmp_path / "new.toml"
    words = [
        "write",
        str(to),
        "--from",
        file,
        "--preset",
        "Person",
        "--pictures",
        "12",
        "--network.rank",
        "4",
    ]
    assert text(*words)[0] == f"{to}: written\n"
    to.write_text(to.read_text("utf-8").replace("rank = 4", "rank = 4 # small"), encoding="utf-8")
    text("write", str(to), "--from", str(to), "--network.alpha", "2")
    run = read_file(to).run
    assert (run.network.rank, run.network.alpha, str(run.length.train_for)) == (4, 2.0, "1800 steps")
    assert "rank = 4 # small" in to.read_text("utf-8")
    assert read_file(to).source("length.train_for") == "preset Person"


def test_docs_are_written_and_checked(tmp_path: Path) -> None:
    to = tmp_path / "settings.md"
    assert text("docs", "--to", str(to), "--check", code=1)[0] == f"{to}: out of date\n"
    assert text("docs", "--to", str(to))[0] == f"{to}: written\n"
    assert text("docs", "--to", str(to))[0] == f"{to}: unchanged\n"
    assert data("docs", "--to", str(to), "--check") == {"file": str(to), "up_to_date": True}


def test_schema_is_json_in_text_too() -> None:
    assert json.loads(text("schema")[0]) == data("schema")


def test_a_missing_file_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "show", str(tmp_path / "none.toml")]) == 2
    assert "could not be read" in capsys.readouterr().err
