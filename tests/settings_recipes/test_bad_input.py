"""Whatever a file holds, it gets a sentence or a run, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.settings.recipes import Imported, read_recipe
from tests.settings_recipes.recipe_samples import FIXTURES, NAMES, legacy, read_config, read_json

REFUSED = [
    (b"", "empty"),
    (b"  \n\t", "empty"),
    (b"PK\x03\x04\x00\x00\x00\x00binary", "not-text"),
    (bytes(range(256)) * 4, "not-text"),
    (b"\x80\x04\x95" + b"\x01" * 200, "not-text"),
    (b"\xff\xfe" + b"\x00\xd8" * 3, "not-text"),
    (b"x" * (2 * 1024 * 1024 + 1), "too-large"),
    (b"just some words", "not-toml"),
    (b"a = 1\na = 2\n", "not-toml"),
    (b"[a]\nb = 1\n[a]\nb = 2\n", "not-toml"),
    (b'{"a": ', "not-json"),
    (b'{"a": 1} trailing', "not-json"),
    (b'{"LoRA_type": ' + b"9" * 5000 + b"}", "not-json"),
    (b"[" * 100_000, "too-deep"),
    (b'{"a": ' * 5000, "too-deep"),
    (b"x = " + b"[" * 5000 + b"]" * 5000, "too-deep"),
    (b".".join([b"a"] * 5000) + b" = 1", "too-deep"),
    (b"answer = 42\n", "unknown-recipe"),
    (b'{"answer": 42}', "unknown-recipe"),
    (b"[1, 2, 3]", "unknown-recipe"),
    (b'"text"', "not-toml"),
    (b"[rates]\nlearning_rate = 1e-4\n", "own-settings"),
    (b"accelerate launch train_controlnet.py --resolution 512", "unknown-recipe"),
]


@pytest.mark.parametrize(("data", "code"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_is_no_recipe_gets_a_sentence(data: bytes, code: str) -> None:
    with pytest.raises(FileError) as raised:
        read_recipe(data, "file", legacy=legacy)
    assert raised.value.code == code
    assert raised.value.where == "file"
    assert raised.value.todo


def test_the_sentence_for_an_unknown_file_says_what_can_be_read() -> None:
    with pytest.raises(FileError, match=r"db_config\.json"):
        read_json({"answer": 42})


@pytest.mark.parametrize("mark", ("utf-8-sig", "utf-16", "utf-32"))
def test_byte_order_marks_are_read(mark: str) -> None:
    text = 'network_module = "networks.lora"\noutput_name = "れいむ"\n'
    assert read_recipe(text.encode(mark), "c.toml").run.metadata.name == "れいむ"


@pytest.mark.parametrize(("encoding", "name"), (("cp932", "霊夢の学習画像"), ("gb18030", "角色训练图片")))
def test_files_of_japanese_and_chinese_windows_are_read(encoding: str, name: str) -> None:
    values = {"base_model": "D:/m.ckpt", "img_folder": f"D:/{name}", "net_dim": 8}
    data = json.dumps(values, ensure_ascii=False).encode(encoding)
    assert read_recipe(data, "p.json", legacy=legacy).run.concepts[0].folder == f"D:/{name}"


def test_without_a_reader_of_old_encodings_the_way_out_is_said() -> None:
    with pytest.raises(FileError, match="not a text file"):
        read_recipe('{"base_model": "モデル"}'.encode("cp932"), "p.json")


WRONG = [
    ("network_dim", "many", "is not a number"),
    ("network_dim", 4.5, "is not a whole number"),
    ("network_dim", [4], "is not a number"),
    ("learning_rate", True, "is not a number"),
    ("learning_rate", "1e-4x", "is not a number"),
    ("shuffle_caption", "perhaps", "is neither true nor false"),
    ("resolution", "big", "is not a number"),
    ("resolution", "1,2,3", "is not a size"),
    ("lr_scheduler", "spiral", "no schedule of this name"),
    ("optimizer_type", 3, "is not a text"),
    ("loss_type", "l7", "not one of the choices"),
    ("mixed_precision", "fp12", "not one of the choices"),
    ("text_encoder_lr", [1, 2, 3], "not one rate or two"),
    ("optimizer_args", ["weight_decay"], "not written as name=value"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_wrong_value_waits_for_you(name: str, value: object, says: str) -> None:
    imported = read_config({"network_module": "networks.lora", name: value})
    line = next(line for line in imported.report.lines if line.key.startswith(name))
    assert line.fate.value == "needs you"
    assert says in line.says


def attempt(read: Callable[[], Imported]) -> None:
    """Either a run or a sentence."""
    try:
        imported = read()
    except UserError as error:
        assert error.sentence()
    else:
        assert imported.report.text()


samples = [(FIXTURES / name).read_bytes() for name in NAMES]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A recipe with something cut out, put in, or doubled."""
    data = draw(st.sampled_from(samples))
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.integers(0, 60)))
    way = draw(st.integers(0, 3))
    if way == 0:
        return data[:start] + data[end:]
    if way == 1:
        return data[:start] + draw(st.binary(max_size=12)) + data[end:]
    if way == 2:
        return data[:end] + data[start:]
    noise = draw(st.sampled_from((b"null", b"true", b"-1", b'"x"', b"[]", b"{}", b"1e999", b"NaN", b"=")))
    return data[:start] + noise + data[end:]


@settings(deadline=None, max_examples=50)
@given(damaged(), st.booleans())
def test_a_damaged_recipe_gets_a_sentence_or_a_run(data: bytes, as_run: bool) -> None:
    attempt(lambda: read_recipe(data, "damaged", as_run=as_run, legacy=legacy))


@pytest.mark.slow
@settings(deadline=None, max_examples=600)
@given(damaged(), st.booleans())
def test_many_damaged_recipes_get_a_sentence_or_a_run(data: bytes, as_run: bool) -> None:
    attempt(lambda: read_recipe(data, "damaged", as_run=as_run, legacy=legacy))


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_get_a_sentence_or_a_run(data: bytes) -> None:
    attempt(lambda: read_recipe(data, "bytes", legacy=legacy))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
SIGNS = ("LoRA_type", "base_model", "concepts_list", "ss_network_dim", "datasets", "general_args", "use_lora")


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(SIGNS) | st.text(max_size=8), anything, min_size=1, max_size=6))
def test_any_json_gets_a_sentence_or_a_run(value: dict[str, object]) -> None:
    attempt(lambda: read_json(value))
