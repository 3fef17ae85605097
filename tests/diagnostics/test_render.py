"""What a user sees when something is wrong, to the letter."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from netdsl import codes, render, render_data
from netdsl.diagnostics import Code, Diagnostic, Frame, Label
from netdsl.source import Source, Span


def span(source: Source, text: str, occurrence: int = 0) -> Span:
    start = -1
    for _ in range(occurrence + 1):
        start = source.text.index(text, start + 1)
    return Span(source, start, start + len(text))


def text_of(written: str) -> str:
    return dedent(written).lstrip("\n")


RESNET = Source("resnet.net", "# ResNet\n" * 11 + "  skip {\n" + "#\n" * 17 + "    unit(width)\n")


def test_the_designed_message() -> None:
    net = Frame("ResNet50")
    frame = Frame("bottleneck(width = 64)", span(RESNET, "unit(width)"), net)
    diagnostic = Diagnostic(
        codes.SKIP_SHAPES,
        "the two sides of this skip have different shapes",
        Label(span(RESNET, "skip"), "it is 64x56x56, F(it) is 256x56x56"),
        help="project the shortcut: `skip { ... } via { conv 256 k1 }`",
        frame=frame,
    )
    assert render.full([diagnostic]) == text_of(
        """
        error[E0302]: the two sides of this skip have different shapes
          --> resnet.net:12:3
           |
        12 |   skip {
           |   ^^^^ it is 64x56x56, F(it) is 256x56x56
           |
           = in bottleneck(width = 64), called at resnet.net:30:5, in ResNet50
           = help: project the shortcut: `skip { ... } via { conv 256 k1 }`
        """
    )


def test_labels_on_one_line_on_others_and_in_other_files() -> None:
    source = Source("a.net", "conv 8 k3 as x\nrelu\nadd(x, y)\n")
    other = Source("b.net", "block y { relu }\n")
    diagnostic = Diagnostic(
        codes.JOIN_SHAPES,
        "the operands of this add have different shapes",
        Label(span(source, "add")),
        (
            Label(span(source, "y"), "64x8x8"),
            Label(span(source, "as x"), "8x8x8, made here"),
            Label(span(other, "y"), "64x8x8, made here"),
        ),
        notes=("a first note\nin two lines",),
    )
    assert render.full([diagnostic]) == text_of(
        """
        error[E0303]: the operands of this add have different shapes
         --> a.net:3:1
          |
        1 | conv 8 k3 as x
          |           ---- 8x8x8, made here
        ...
        3 | add(x, y)
          | ^^^
          |        - 64x8x8
          |
         ::: b.net:1:7
          |
        1 | block y { relu }
          |       - 64x8x8, made here
          |
          = note: a first note
            in two lines
        """
    )


@pytest.mark.parametrize(
    ("line", "word", "quote", "column"),
    [
        ("\tcnov 8", "cnov", "    cnov 8", 4),
        ("ab\tcnov 8", "cnov", "ab  cnov 8", 4),
        ("# 网络 cnov", "cnov", "# 网络 cnov", 7),
        ("# e\u0301 cnov", "cnov", "# e\u0301 cnov", 4),
        ("# \x1b[31m cnov", "cnov", "# \\x1b[31m cnov", 11),
        ("# \u202e cnov", "cnov", "# \\u202e cnov", 9),
    ],
)
def test_carets_stand_under_what_they_mean(line: str, word: str, quote: str, column: int) -> None:
    source = Source("a.net", line)
    shown = render.full([Diagnostic(codes.UNKNOWN_WORD, "unknown", Label(span(source, word)))]).split("\n")
    assert shown[3] == f"1 | {quote}"
    assert shown[4] == f"  | {' ' * column}^^^^"


def test_a_place_at_the_end_of_a_line_and_of_the_text() -> None:
    source = Source("a.net", "relu\n")
    for start in (4, 5):
        shown = render.full([Diagnostic(codes.SYNTAX, "unfinished", Label(Span(source, start, start)))])
        assert "^" in shown


def test_a_caret_ends_with_its_line() -> None:
    source = Source("a.net", "net A {\n  relu\n}\n")
    shown = render.full([Diagnostic(codes.SYNTAX, "all of it", Label(Span(source, 4, 17)))]).split("\n")
    assert shown[4] == "  |     ^^^"


def test_long_lines_are_trimmed_around_the_caret_and_say_so() -> None:
    source = Source("a.net", "x" * 5000 + "cnov" + "y" * 5000)
    shown = render.full([Diagnostic(codes.UNKNOWN_WORD, "unknown", Label(span(source, "cnov")))]).split("\n")
    quote, caret = shown[3], shown[4]
    assert quote.startswith("1 | ...x")
    assert quote.endswith("y...")
    assert len(quote) < 140
    assert quote[caret.index("^") : caret.rindex("^") + 1] == "cnov"


def test_messages_cannot_steer_the_terminal() -> None:
    shown = render.full([Diagnostic(codes.UNKNOWN_WORD, "unknown word \x1b]0;owned\x07\nnext", help="a\x1b[2J")])
    assert shown == "error[E0201]: unknown word \\x1b]0;owned\\x07 next\n  = help: a\\x1b[2J\n"


def test_errors_first_then_warnings_at_most_twenty_of_each() -> None:
    found = [Diagnostic(codes.UNKNOWN_WORD, f"error {i}") for i in range(25)]
    found.append(Diagnostic(Code("W0001"), "a warning"))
    lines = render.concise(found, limit=20).splitlines()
    assert lines[0] == "error[E0201]: error 0"
    assert lines[20:] == ["warning[W0001]: a warning", "... and 5 more errors"]
    assert json.loads(render_data.as_json(found, 20))["more"] == "... and 5 more errors"
    assert render.shown(found[:21], 20)[1] == "... and 1 more error"


def test_a_long_chain_of_calls_is_counted_instead_of_told() -> None:
    source = Source("a.net", "b")
    frame = Frame("Net")
    for level in range(100):
        frame = Frame(f"b{level}()", Span(source, 0, 1), frame)
    told = render.calls(frame)
    assert told is not None
    assert told.startswith("in b99(), called at a.net:1:1, in b98()")
    assert "... 95 more calls ..." in told
    assert told.endswith("in Net")


def test_colour_only_changes_colour() -> None:
    source = Source("a.net", "cnov 8")
    diagnostic = Diagnostic(codes.UNKNOWN_WORD, "unknown", Label(span(source, "cnov"), "here"), help="try `conv`")
    coloured = render.full([diagnostic], render.Style(True))
    assert "\x1b[1;31merror[E0201]\x1b[0m" in coloured
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render.full([diagnostic])


SOME = Diagnostic(
    codes.SKIP_SHAPES,
    "100% wrong, really",
    Label(span(RESNET, "skip"), "here"),
    (Label(span(RESNET, "unit"), "there"),),
    ("a note",),
    "mend it",
    Frame("unit(1)", span(RESNET, "unit"), Frame("Net")),
)


def test_json() -> None:
    document = json.loads(render_data.as_json([SOME]))
    assert document["schema_version"] == 1
    assert document["more"] is None
    (found,) = document["diagnostics"]
    assert found["code"] == "E0302"
    assert found["severity"] == "error"
    assert found["help"] == "mend it"
    place = {"file": "resnet.net", "line": 12, "column": 3, "end_line": 12, "end_column": 7}
    assert {key: found[key] for key in place} == place
    assert found["labels"][0] == {**place, "text": "here"}
    assert found["calls"][0] == {"call": "unit(1)", "called_at": "resnet.net:30:5"}


def test_github_escapes_what_would_end_a_command() -> None:
    assert render_data.github([SOME]) == (
        "::error file=resnet.net,line=12,endLine=12,col=3,endColumn=7,title=E0302::100%25 wrong, really%0Ahere%0A"
        "in unit(1), called at resnet.net:30:5, in Net%0Aa note%0Ahelp: mend it\n"
    )


def test_sarif() -> None:
    log = json.loads(render_data.sarif([SOME, Diagnostic(codes.WOULD_OVERWRITE, "no place")]))
    assert log["version"] == "2.1.0"
    first, second = log["runs"][0]["results"]
    region = first["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 12, "startColumn": 3, "endLine": 12, "endColumn": 7}
    assert "locations" not in second
    rules = {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in log["runs"][0]["results"]} <= rules
