"""HCL that is written: what the reader of files gives back, and how it looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.config.hcl import Source, parse
from vestibule.config.place import Report
from vestibule.config.write import Block, Comment, Env, File, Joined, commented_out, render, variables_of
from vestibule.errors import ConfigError

_ENVIRON = {"KEY": "from the environment"}


def read_back(text: str):
    report = Report()
    block = parse(text, Source(Path("w.hcl"), _ENVIRON), report)
    assert report.faults == []
    return block


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_any_text_is_read_back_as_it_was(text: str, label: str) -> None:
    block = Block("host", label, {"one": text, "list": (text, text)})
    (found,) = read_back(render([block])).blocks
    assert found.labels[0].data == label
    assert found.attributes["one"].value.data == text
    assert [item.data for item in found.attributes["list"].value.data] == [text, text]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (True, True),
        (False, False),
        (8000, 8000),
        (Env("KEY"), "from the environment"),
        (Joined(("a ${", Env("KEY"), '"')), 'a ${from the environment"'),
        ('${env("KEY")}', '${env("KEY")}'),
        ((), ()),
    ],
    ids=str,
)
def test_a_value_is_read_back(value: object, data: object) -> None:
    found = read_back(render([Block("b", attributes={"a": value})])).blocks[0].attributes["a"].value
    assert found.data == data


@pytest.mark.parametrize(
    "name",
    [
        'A")}"\n}\nhost "evil.example" {\n  backend = "internal:echo"\n  x = "${env("B',
        'A"',
        "A\\",
        "A B",
        "A\n",
        "",
        "1",
    ],
)
def test_a_variables_name_never_goes_on_as_a_configuration_of_its_own(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of an environment variable"):
        Env(name)


@pytest.mark.parametrize("path", ["/x\n", '/${env("HOME")}', "/x}", "/x\u2028"])
def test_a_path_that_cannot_be_written_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="can't be written as a file's path"):
        File(path)


def test_a_file_is_named_and_not_read() -> None:
    assert (
        render([Block("b", attributes={"a": File('a "b"/c')})]) == 'b {\n  a = "${file("a \\"b\\"/c")}"\n}\n'
    )


def test_blocks_are_laid_out_as_in_the_manual() -> None:
    inner = Block("access", attributes={"allow": ("domain:example.com",)})
    host = Block("host", "a.example", {"backend": "localhost:1", "public_url": "https://a.example"}, (inner,))
    assert render([host, Block("gateway"), Comment("The end.")]) == (
        'host "a.example" {\n'
        '  backend    = "localhost:1"\n'
        '  public_url = "https://a.example"\n'
        "\n"
        "  access {\n"
        '    allow = ["domain:example.com"]\n'
        "  }\n"
        "}\n"
        "\n"
        "gateway {}\n"
        "\n"
        "# The end.\n"
    )


def test_a_long_list_has_a_line_for_each_item() -> None:
    rules = tuple(f"email:somebody-{number}@example.com" for number in range(9))
    text = render([Block("access", attributes={"allow": rules})])
    assert max(map(len, text.splitlines())) < 60
    assert [item.data for item in read_back(text).blocks[0].attributes["allow"].value.data] == list(rules)


def test_a_block_that_is_commented_out_is_none() -> None:
    comment = commented_out(Block("route", "/x/", {"methods": ("GET",)}, (Block("access"),)))
    text = render([Block("host", "a", inside=(comment,))])
    assert read_back(text).blocks[0].blocks == ()
    assert '#  route "/x/" {' in text


def test_a_comment_can_t_end_itself() -> None:
    text = render([Comment('one\nhost "evil" {}\n  two\n'), Block("b", comment="a\r\nb {}")])
    assert [block.type for block in read_back(text).blocks] == ["b"]


def test_the_variables_that_blocks_name_are_known() -> None:
    inner = Block("header", "X", {"value": Joined(("a", Env("B")))})
    assert list(
        variables_of([Block("x", attributes={"a": Env("A"), "l": (Env("L"), "t")}, inside=(inner,))])
    ) == [
        "A",
        "L",
        "B",
    ]
