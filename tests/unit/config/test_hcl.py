"""HCL: what texts, lists, blocks and interpolations mean, and what is said of what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hcl2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.config import hcl
from vestibule.config.hcl import Block, Source, Value
from vestibule.config.place import Report


def parsed(text: str, folder: Path = Path(), **environ: str) -> tuple[Block, list[str]]:
    report = Report()
    block = hcl.parse(text, Source(folder / "v.hcl", environ), report)
    return block, [str(fault).replace(f"{folder}/", "") for fault in report.faults]


def plain(data: Any) -> Any:
    """A value without its places."""
    if isinstance(data, Value):
        return plain(data.data)
    if isinstance(data, tuple):
        return [plain(item) for item in data]
    if isinstance(data, dict):
        return {key: plain(item) for key, item in data.items()}
    return data


def value_of(text: str, **environ: str) -> Any:
    block, faults = parsed(f"a = {text}", **environ)
    assert faults == []
    return plain(block.attributes["a"].value)


def faults_of(text: str, **environ: str) -> list[str]:
    return parsed(text, **environ)[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"plain"', "plain"),
        ('""', ""),
        ("7", 7),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("[]", []),
        ('["a", "b"]', ["a", "b"]),
        ('[\n  "a", # first\n  "b",\n]', ["a", "b"]),
        ('[["a"], [1]]', [["a"], [1]]),
        ('{ a = 1, b : "x" }', {"a": 1, "b": "x"}),
        ('{\n  a = 1\n  "b c" = [2]\n}', {"a": 1, "b c": [2]}),
        ("{}", {}),
        (r'"a\n\t\"\\\u00e9\U0001F600"', 'a\n\t"\\é😀'),
        ('"é 😀"', "é 😀"),
        ('"100% $5 $"', "100% $5 $"),
        ('"{claim.team} {host}"', "{claim.team} {host}"),
        ('"$${X}"', "${X}"),
        ('"%%{if}"', "%{if}"),
        ('"# // /* no comment */"', "# // /* no comment */"),
        ("<<END\none\n  two\nEND", "one\n  two\n"),
        ("<<-END\n    one\n      two\n    END", "one\n  two\n"),
        ("<<END\nEND", ""),
        ("<<E\nEND\n E", "END\n"),
        ('<<END\n"quoted" \\n $${X} %%{Y}\nEND', '"quoted" \\n ${X} %{Y}\n'),
    ],
)
def test_a_value_means_what_hcl_says(text: str, expected: Any) -> None:
    assert value_of(text) == expected


@pytest.mark.parametrize(
    "text",
    ['"x${env("X")}y"', '"x${ env( "X" ) }y"'],
    ids=["tight", "spaced"],
)
def test_a_variable_is_put_in(text: str) -> None:
    assert value_of(text, X="middle") == "xmiddley"


def test_a_bare_call_is_its_value() -> None:
    assert value_of('env("X")', X="v") == "v"


def test_a_variable_is_put_into_a_text_of_several_lines() -> None:
    assert value_of('<<END\nuser ${env("X")}\nEND', X="v") == "user v\n"


def test_what_a_variable_holds_is_not_looked_at_again() -> None:
    assert value_of('"${env("X")}"', X='${env("Y")} \\n %{') == '${env("Y")} \\n %{'


def test_a_file_is_found_beside_its_configuration_and_loses_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n\n", "utf-8")
    block, faults = parsed('a = "${file("secret")}"', tmp_path)
    assert faults == []
    assert block.attributes["a"].value.data == "s3cret\n"


def test_blocks_may_be_nested_labelled_repeated_and_on_one_line() -> None:
    block, faults = parsed('a "x" y {\n  b { c = 1 }\n  b {\n  }\n}\na { d = 1 e = 2 b { f = 3 } }\n')
    assert faults == []
    first, second = block.blocks
    assert (first.type, [label.data for label in first.labels]) == ("a", ["x", "y"])
    assert [child.type for child in first.blocks] == ["b", "b"]
    assert plain(first.blocks[0].attributes["c"].value) == 1
    assert sorted(second.attributes) == ["d", "e"]


def test_comments_of_all_three_kinds_are_passed_over() -> None:
    block, faults = parsed("# one\n// two\n/* three\n*/ a = /* four */ 1 # five\nb = 2 // six")
    assert faults == []
    assert plain(block.attributes["a"].value) == 1
    assert plain(block.attributes["b"].value) == 2


def test_carriage_returns_before_line_ends_are_passed_over() -> None:
    block, faults = parsed('a = "x"\r\nb {\r\n  c = <<E\r\none\r\nE\r\n}\r\n')
    assert faults == []
    assert block.blocks[0].type == "b"


def test_every_piece_knows_its_place() -> None:
    block, _ = parsed('a "l" {\n  b = ["x",\n    "y"]\n}\n')
    inner = block.blocks[0].attributes["b"]
    assert str(block.blocks[0].place) == "v.hcl:1:1"
    assert str(block.blocks[0].labels[0].place) == "v.hcl:1:3"
    assert str(inner.place) == "v.hcl:2:3"
    assert [str(item.place) for item in inner.value.data] == ["v.hcl:2:8", "v.hcl:3:5"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = 2\na = 3", "v.hcl:3:1: `a` stands here twice; the first is at v.hcl:1"),
        ("a = { b = 1, b = 2 }", "v.hcl:1:14: `b` stands here twice"),
        ("a = secret", 'v.hcl:1:5: this is no value; a text stands in double quotes: "…"'),
        ("a = 'x'", 'v.hcl:1:5: texts stand in double quotes: "…"'),
        ('a = "x', 'v.hcl:1:5: this text has no closing `"` on its line'),
        ('a = "${env("X")"', "v.hcl:1:5: this text has no closing"),
        ("a = 1 + 2", "v.hcl:1:7: `+` can't stand here: nothing is computed"),
        ("a = b.c", "v.hcl:1:6: `.` can't stand here: nothing is computed, and texts stand in double quotes"),
        (
            "a = localhost:3000",
            "v.hcl:1:14: `:` can't stand here: nothing is computed, and texts stand in double quotes",
        ),
        ('a = true ? "x" : "y"', "v.hcl:1:10: `?` can't stand here: nothing is computed"),
        ('a = upper("x")', 'v.hcl:1:5: `upper(…)` can\'t be worked out: only env("NAME") and file("PATH")'),
        ("a = env(1)", "v.hcl:1:5: `env(…)` can't be worked out"),
        ('a = "x${var.y}"', "v.hcl:1:7: `${var.y}` can't be worked out"),
        ('a = "%{ if x }"', "v.hcl:1:6: `%{` is not worked out here"),
        (r'a = "\d"', r"v.hcl:1:6: `\d` is no escape"),
        ('a = "${env("NOPE")}"', "v.hcl:1:6: the environment variable NOPE is not set"),
        ('a = "${file("nope")}"', "v.hcl:1:6: the file nope can't be read: No such file or directory"),
        ("a = ", "v.hcl:1:5: the line ends too early; expected a value"),
        ("a = [1 2]", "v.hcl:1:8: `2` is not expected here; expected `]` or `,`"),
        ('a = ["x" "y"]', "v.hcl:1:10: a text is not expected here; expected `]` or `,`"),
        ('a "x" = 1', "v.hcl:1:7: `=` is not expected here; expected a name, a text in double quotes or `{`"),
        ("a {\n  b = 1\n", "v.hcl:1:3: what is opened here is never closed: its `}` is missing"),
        ("a = [1,\n", "v.hcl:1:5: what is opened here is never closed: its `]` is missing"),
        ("a {\n}\n}", "v.hcl:3:1: this `}` closes nothing"),
        ("a = <<END\nx\n", "v.hcl:1:5: this text of several lines is never closed"),
        ("/* x", "v.hcl:1:1: this comment is never closed by `*/`"),
        ("a = 1\n= 2", "v.hcl:2:1: `=` is not expected here; expected a name"),
    ],
)
def test_a_fault_names_its_place_and_what_to_do(text: str, expected: str) -> None:
    faults = faults_of(text)
    assert len(faults) == 1
    assert faults[0].startswith(expected)


def test_no_message_shows_a_text_that_may_be_a_secret() -> None:
    for text in ('a = "x" "hunter2"', "a = hunter2", 'a = ["x" "hunter2"]', 'a = "hunter2'):
        assert "hunter2" not in " ".join(faults_of(text))


@pytest.mark.parametrize("text", ['a = "' + "x" * 5000, "a = <<E\n" + "x\n" * 5000, "/*" + "*" * 5000])
def test_what_is_never_closed_is_found_at_once(text: str) -> None:
    (fault,) = faults_of(text)
    assert "clos" in fault


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 3000 + "]" * 3000, "a {\n" * 3000 + "}\n" * 3000], ids=["lists", "blocks"]
)
def test_what_is_nested_too_deeply_is_a_fault(text: str) -> None:
    assert faults_of(text) == ["v.hcl:1:1: the blocks or lists in this file are nested too deeply"]


def test_no_message_speaks_of_the_parser() -> None:
    for text in ("a = ", "a {", "}", "a = [", "a = { b", '"x"', "a b c", "a = 1 b", "a = ]"):
        (fault,) = faults_of(text)
        assert not any(word in fault for word in ("Token", "LBRACE", "RBRACE", "NAME", "$END", "_NEWLINE"))


def test_all_faults_of_values_are_told_at_once() -> None:
    assert len(faults_of('a = x\nb = "${env("NOPE")}"\nc = "\\q"\nd = foo("y")\na = 1')) == 5


NAMES = st.sampled_from(["a", "b_c", "d-e", "f1"])
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\$%', exclude_categories=["C"]), max_size=8
)
LEAVES = st.one_of(
    TEXTS.map(lambda text: f'"{text}"'),
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["true", "false", "1.5", "0.25"]),
)
LISTS = st.lists(LEAVES, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")


@st.composite
def bodies(draw: Any, depth: int = 2) -> str:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    lines = [f"{name} = {draw(LEAVES | LISTS)}" for name in names]
    if depth:
        types = draw(st.lists(NAMES, max_size=2))
        lines += [f'block_{name} "{draw(NAMES)}" {{\n{draw(bodies(depth - 1))}\n}}' for name in types]
    return "\n".join(lines)


def as_hcl2(block: Block) -> dict[str, Any]:
    """The block as python-hcl2 shows one."""
    data = {name: plain(attribute.value) for name, attribute in block.attributes.items()}
    for child in block.blocks:
        data.setdefault(child.type, []).append({child.labels[0].data: as_hcl2(child)})
    return data


@given(bodies())
def test_what_python_hcl2_reads_is_read_the_same(text: str) -> None:
    """The oracle is the whole grammar that ours is a narrower form of."""
    block, faults = parsed(text)
    options = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
    assert faults == []
    assert as_hcl2(block) == hcl2.loads(text + "\n", serialization_options=options)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    block, _ = parsed(text)
    assert isinstance(block, Block)


@given(st.text('a \n={}[]"$(),<#/*\\1', max_size=30))
def test_no_arrangement_of_marks_breaks_the_reader(text: str) -> None:
    block, _ = parsed(text)
    assert isinstance(block, Block)
