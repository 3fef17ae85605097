"""Syntax errors as a user should read them: what a token that fits nowhere was probably meant to be.

Each function below knows one family of mistakes and looks at what was read (`symbols`), at the token that does not fit
and at what could have stood there. The first that recognises its family has the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, Label
from netdsl.source import Source, Span
from netdsl.syntax.driver import CLOSING, OPENING, Failure
from netdsl.syntax.tables import END, STRANGE

_WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a text in quotes",
    "EXTENTS": "a shape",
    "_NL": "the end of the line",
    "_X": "`x`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "_ARROW": "`->`",
    "VBAR": "`|`",
    "IN": "`in`",
    "AS": "`as`",
    "VIA": "`via`",
    "ELSE": "`else`",
    "NET": "`net`",
    "BLOCK": "`block`",
    "USE": "`use`",
}
_STATEMENTS = {"LET", "INPUT", "PARAM", "SHARE", "ASSERT", "OUTPUT"}
_BLOCKS = {"SKIP", "EACH", "REPEAT", "FOR", "IF"}
_DEFINITIONS = {"NET", "BLOCK", "USE"}
_HEADS = _BLOCKS | {"VIA", "ELSE", "kind"}
_ENDS = {"_NL", END, "RBRACE", "VBAR", "SEMICOLON"}
_VALUES = {"NUMBER", "STRING", "EXTENTS", "TRUE", "FALSE"}
_OPERATORS = {"PLUS", "MINUS", "TIMES", "DIVIDE", "FLOOR", "MODULO", "POWER", "COMPARE", "AND", "OR"}
_STEP = {
    *("NAME", "SHORT", "call", "index", "trailer", "setting", "decorated", "step", "extras", "extra"),
    *("value", "value_term", "value_power", "expr", "conjunction", "negation", "comparison", "arith", "term", "factor"),
    *("power", "atom", "head", "RPAR", "RSQB"),
} | _VALUES
_STRANGE = {
    "&": "write `and`",
    "!": "write `not`, or `!=`",
    "^": "a power is written `**`",
    "'": 'texts stand in double quotes: `"..."`',
    "`": 'texts stand in double quotes: `"..."`',
    "\\": "a line needs no sign to continue: end it with `->`",
    "@": None,
    "$": None,
    "~": None,
}


_COMMENTS = "comments begin with `#`"
_USE = 'the blocks of another file are named by `use "other.net"`'
_NET = "a network is `net Name { ... }`"
_OUTSIDE = {
    **dict.fromkeys(("from", "import", "include"), _USE),
    **dict.fromkeys(("class", "model", "module", "network"), _NET),
    **dict.fromkeys(("def", "func", "function"), "a part with a name is `block name(width) { ... }`"),
}
"""What begins a file's parts elsewhere."""


class _Place:
    """A failure with what the families ask about it."""

    def __init__(self, failure: Failure, source: Source) -> None:
        self.failure = failure
        self.source = source
        self.kind = failure.kind
        self.symbols = failure.symbols
        self.last = failure.symbols[-1] if failure.symbols else ""
        self.viable = failure.viable
        self.text = source.text[failure.start : failure.end]
        # Where a statement is not finished, the end of its line is not seen as one: the next line's token is at fault.
        self.ends = self.kind in _ENDS or "\n" in source.text[failure.after : failure.start]
        self._opened: list[int] = []
        begin = 0
        for at, symbol in enumerate(self.symbols):
            if symbol in OPENING:
                self._opened.append(at)
            elif symbol in CLOSING:
                self._opened.pop()
            if symbol in ("LBRACE", "VBAR", "_NL"):
                begin = at + 1
        # What was read of the statement, or of the head of the definition, in which the mistake is.
        self.statement = self.symbols[begin:]

    @property
    def shown(self) -> str:
        """The token as a message names it."""
        if self.kind == END:
            return "the end of the text"
        if self.kind == "_NL":
            return "the end of the line"
        line = self.text if len(self.text) <= 30 else self.text[:27] + "..."
        return f"`{line}`"

    @property
    def bracket(self) -> str:
        """The innermost open bracket: LPAR, LSQB, LBRACE, or nothing."""
        return self.symbols[self._opened[-1]] if self._opened else ""

    @property
    def in_body(self) -> bool:
        """Whether braces are open around the token."""
        return any(self.symbols[at] == "LBRACE" for at in self._opened)

    def say(self, code: Code, message: str, label: str = "", help: str | None = None) -> Diagnostic:
        """A diagnostic at the token."""
        return self.at(self.failure.start, self.failure.end, code, message, label, help)

    def say_before(self, code: Code, message: str, label: str = "", help: str | None = None) -> Diagnostic:
        """A diagnostic right after what was read, where something is missing."""
        after = self.failure.after
        return self.at(after, after, code, message, label, help)

    def at(self, start: int, end: int, code: Code, message: str, label: str, help: str | None) -> Diagnostic:
        """A diagnostic at any place."""
        if self.kind == END and start == self.failure.start:
            start = end = self.failure.after
        return Diagnostic(code, message, Label(Span(self.source, start, end), label), help=help)


def explain(failure: Failure, source: Source) -> Diagnostic:
    """What to tell the user about a token that does not fit."""
    place = _Place(failure, source)
    for family in _FAMILIES:
        found = family(place)
        if found:
            return found
    return _unexpected(place)


def _characters(place: _Place) -> Diagnostic | None:
    if place.kind == "SEMICOLON":
        return place.say(codes.SYNTAX, "`;` ends a statement, and this one is not finished")
    if place.kind != STRANGE:
        return None
    code = codes.BAD_STRING if place.text in "'`" else codes.STRANGE_CHARACTER
    return place.say(code, f"`{place.text}` has no meaning here", help=_STRANGE.get(place.text))


def _numbers(place: _Place) -> Diagnostic | None:
    after = re.compile(r"\.[0-9]+").match(place.source.text, place.failure.start)
    if place.kind != "DOT" or not after:
        return None
    start, end = after.span()
    if place.last == "NUMBER":
        return place.at(start, end, codes.BAD_NUMBER, "a number has one point", "", None)
    message = f"`{after[0][:30]}`: a digit is missing before the point"
    return place.at(start, end, codes.BAD_NUMBER, message, "", f"write `0{after[0][:30]}`")


def _top_level(place: _Place) -> Diagnostic | None:
    if place.in_body:
        if place.kind in _DEFINITIONS:
            message = f"{place.shown} cannot stand inside a body"
            help = "a `}` may be missing before it"
            help = "put it at the top of the file" if place.kind == "USE" else help
            return place.say(codes.MISPLACED_PART, message, help=help)
        return None
    if place.statement and place.statement[0] != "items" and place.statement[0] != "definition":
        return None
    if place.kind in ("NET", "BLOCK", "USE"):
        return place.say(codes.SYNTAX, f"{place.shown} begins on a new line")
    if place.kind in _STATEMENTS | _BLOCKS | {"NAME"}:
        message = f"{place.shown} stands outside of any `net` or `block`"
        return place.say(
            codes.MISPLACED_PART, message, help=_OUTSIDE.get(place.text, "put it inside: `net Name { ... }`")
        )
    message = f"{place.shown} stands where a `net`, a `block` or a `use` begins"
    return place.say(codes.MISPLACED_PART, message, help=_NET)


def _arrows(place: _Place) -> Diagnostic | None:
    if place.kind == "_ARROW":
        if place.bracket in ("LPAR", "LSQB"):
            message = "no `->` inside parentheses or brackets"
            return place.say(codes.MISPLACED_ARROW, message, help="name the chain before: `let y = ... -> ...`")
        if place.last in ("LBRACE", "VBAR", "_NL", "_ARROW", "EQUAL"):
            message = "no step stands before this `->`"
            help = "a chain may begin with `it`: `it -> relu`" if place.last != "_ARROW" else None
            return place.say(codes.MISPLACED_ARROW, message, help=help)
        if place.statement[:1] and place.statement[0] in {"INPUT", "PARAM", "SHARE", "ASSERT", "OUTPUT"}:
            word = place.statement[0].lower()
            if word == "share":
                message = "`share` names one step, not a chain"
                return place.say(codes.MISPLACED_ARROW, message, help="make a block of the chain and share that")
            message = f"`{word}` leaves `it` alone: no step can follow it"
            return place.say(codes.MISPLACED_ARROW, message, help="begin the chain on the next line")
        return None
    if place.last == "_ARROW" and place.kind in _ENDS:
        after = place.failure.after
        message = "no step stands after this `->`"
        return place.at(after - 2, after, codes.MISPLACED_ARROW, message, "", "remove it: a new line chains as well")
    return None


def _names(place: _Place) -> Diagnostic | None:
    """A word of the language, a number or nothing where a name is to be given."""
    if place.last not in ("LET", "AS", "INPUT", "PARAM", "SHARE", "kind", "FOR", "DOT", "NET", "BLOCK") and not (
        place.last == "COMMA" and {"NAME", "targets", "names"} & set(place.statement) and place.viable == {"NAME"}
    ):
        return None
    if place.viable != {"NAME"}:
        return None
    if place.kind in _ENDS:
        return place.say_before(codes.INCOMPLETE, "a name is missing here")
    if place.text.isidentifier():
        message = f"`{place.text}` is a word of the language and cannot be a name"
        return place.say(codes.NOT_A_NAME, message, help=f"such as `{place.text}_`")
    return place.say(codes.NOT_A_NAME, f"a name is expected, {place.shown} is none")


def _equals(place: _Place) -> Diagnostic | None:
    if place.kind == "EQUAL":
        if place.source.text.startswith("=>", place.failure.start):
            return place.say(codes.SYNTAX, "`=>` has no meaning here", help="steps are chained with `->`")
        statement = place.statement
        if place.bracket in ("LPAR", "LSQB") or {"IF", "ASSERT"} & set(statement[:1]):
            return place.say(codes.EQUALS_SIGN, "`=` gives a value to a name; `==` compares", help="write `==`")
        if statement[:2] == ("PARAM", "target") and place.last == "target":
            message = "a `param` says its shape before its first value"
            return place.say(codes.INCOMPLETE, message, help="such as `param name: 1 = 0`")
        if place.last in ("NAME", "index") and len(statement) == 1:
            name = re.split(r"[\s;{|]", place.source.text[: place.failure.after])[-1][:40]
            if name in ("k", "s", "p", "d", "g"):
                message = f"`{name}=` is an attribute, but no step stands before it on its line"
                help = "attributes stay on the line of their step: `conv 64 k=3`"
                return place.say(codes.ATTRIBUTES_APART, message, help=help)
            message = "`=` after the first word of a line: names are given with `let`"
            help = f"write `let {name} = ...`; an attribute stays on the line of its step"
            return place.say(codes.EQUALS_SIGN, message, help=help)
        return None
    if place.text == "==" and "EQUAL" in place.viable:
        return place.say(codes.EQUALS_SIGN, "`==` compares; `=` gives a value to a name", help="write `=`")
    if place.kind == "COMPARE" and "COMPARE" in place.statement:
        message = "comparisons do not chain"
        return place.say(codes.SYNTAX, message, help="join them with `and`: `a < b and b < c`")
    if place.kind == "COMPARE" and place.bracket not in ("LPAR", "LSQB") and place.last in _STEP:
        help = "steps are chained with `->`" if place.text == ">" else "such as `when=(a == b)`"
        return place.say(codes.SYNTAX, "a comparison stands in parentheses in a step", help=help)
    return None


def _branches(place: _Place) -> Diagnostic | None:
    if place.viable <= {"VBAR", "_NL"} and "VBAR" in place.viable:
        if place.kind == "RBRACE":
            message = "there are no branches in these braces"
            return place.say(codes.BRANCHES, message, help="such as `add { | it | relu }`")
        message = "the braces after a word hold branches, and a branch begins with `|`"
        return place.say(codes.BRANCHES, message, help="such as `add { | it | relu }`")
    if place.kind == "VBAR":
        if place.last == "VBAR":
            message = "the branch before this `|` is empty"
            return place.say(codes.BRANCHES, message, help="a branch that changes nothing is `| it`")
        message = "`|` begins a branch, and only a joining word has branches"
        return place.say(codes.BRANCHES, message, help="such as `add { | it | relu }`")
    return None


def _braces(place: _Place) -> Diagnostic | None:
    if place.statement[-2:] == ("SKIP", "NAME"):
        word = place.source.text[: place.failure.after].split()[-1]
        if word == "when":
            return place.say(codes.INCOMPLETE, "`when` has a condition", help="such as `when=(stride == 1)`")
        start, end = place.failure.after - len(word), place.failure.after
        message = f"the `{{` of `skip` is missing before `{word}`"
        return place.at(start, end, codes.MISSING_BRACE, message, "`{` expected here", None)
    if "LBRACE" not in place.viable or not _HEADS & set(place.statement) or place.kind in ("COMMA", "EQUAL", "COLON"):
        return None
    head = next(symbol for symbol in reversed(place.statement) if symbol in _HEADS)
    what = {"kind": "this definition"}.get(head, f"`{head.lower()}`")
    message = f"the `{{` of {what} is missing before {place.shown}"
    help = "names are made of letters, digits and `_`" if place.text == "-" and place.last == "NAME" else None
    return place.say_before(codes.MISSING_BRACE, message, "`{` expected here", help)


def _positional(place: _Place) -> Diagnostic | None:
    """`conv 64, k3`, `clamp -1 1`, `conv 64 (a + b)`, `conv 64 [1, 2]`."""
    if place.bracket in ("LPAR", "LSQB"):
        return None
    if place.kind == "COMMA" and place.statement == ("LET", "target"):
        message = "`let` gives one name"
        return place.say(codes.NEEDLESS_COMMA, message, help="several results are named with `as`: `split 2 as a, b`")
    if place.last not in _STEP or {*place.statement[:1]} & (_STATEMENTS - {"LET", "SHARE"}):
        return None
    if place.kind == "COMMA" and {"FOR", "IN"} <= set(place.statement):
        message = "`for` runs over one value"
        return place.say(codes.NEEDLESS_COMMA, message, help="several stand in brackets: `for n in [16, 32] { ... }`")
    if place.kind == "COMMA":
        message = "no commas between the values and attributes of a step"
        return place.say(codes.NEEDLESS_COMMA, message, help="separate them by spaces")
    if place.kind in ("LPAR", "LSQB", "MINUS"):
        values = {"LPAR": "=(a + b)", "LSQB": "=[1, 2]", "MINUS": "=-1"}[place.kind]
        message = f"a positional value cannot begin with `{place.text}`"
        word = re.split(r"->|[\n{|;=]", place.source.text[: place.failure.after])[-1].split()[0][:40]
        help = f"give it by its name, which `netdsl ops {word}` says: `name{values}`"
        return place.say(codes.POSITIONAL_START, message, help=help)
    return None


def _steps(place: _Place) -> Diagnostic | None:
    """Something that is no step where a step begins."""
    if place.kind in ("ELSE", "VIA"):
        owner = {"ELSE": "if", "VIA": "skip"}[place.kind]
        return place.say(codes.MISPLACED_PART, f"this `{place.text}` has no `{owner}` before it")
    begins = place.in_body and place.last in ("LBRACE", "VBAR", "_NL", "_ARROW")
    if not begins:
        return None
    if place.kind == "AS":
        return place.say(codes.MISPLACED_PART, "`as` names the step before it on its line; there is none")
    if place.kind == "COLON":
        message = "a check of the shape ends the line of its step"
        return place.say(codes.MISPLACED_PART, message, help="such as `relu : 64x56x56`, or `} : 64x56x56`")
    if place.last == "_ARROW" and place.kind in _STATEMENTS:
        message = f"`{place.text}` is no step of a chain"
        return place.say(codes.NO_STEP, message, help="put it on a line of its own")
    if place.kind in _VALUES | _OPERATORS | {"LPAR", "LSQB", "NOT", "QMARK", "DOT", "IN"}:
        help = "sizes come after the layer's word: `conv 64 k3`" if place.kind in ("NUMBER", "EXTENTS") else None
        help = _COMMENTS if place.text == "//" else help
        return place.say(codes.NO_STEP, f"a step begins with a word, {place.shown} is none", help=help)
    return None


def _incomplete(place: _Place) -> Diagnostic | None:
    statement = place.statement
    breaks_off = place.ends or place.kind in ("RPAR", "RSQB", "COMMA", "LBRACE", "_ARROW")
    if place.last in _OPERATORS | {"NOT"} and breaks_off:
        message = "a value is missing after this operator"
        help = "an expression goes on in the next line only inside parentheses" if place.kind == "_NL" else None
        return place.say_before(codes.INCOMPLETE, message, help=help)
    if not statement or not breaks_off:
        return None
    first = statement[0]
    if place.last == "COLON":
        return place.say_before(codes.INCOMPLETE, "a shape is missing after `:`", help="such as `: 3x32x32`")
    if place.last == "_X":
        return place.say_before(codes.INCOMPLETE, "an extent is missing after `x`", help="`?` stands for any")
    if place.last == "EQUAL":
        return place.say_before(codes.INCOMPLETE, "a value is missing after `=`")
    if first == "PARAM":
        message = "a `param` has a shape and a first value"
        return place.say_before(codes.INCOMPLETE, message, help="such as `param name: 1 = 0`")
    if first in ("LET", "SHARE") and place.last in ("target", "NAME"):
        help = "such as `let half = channels // 2`" if first == "LET" else "such as `share box = head(36)`"
        return place.say_before(codes.INCOMPLETE, f"`{first.lower()}` gives a name to something", help=help)
    if place.last in ("REPEAT", "IF", "IN", "ASSERT", "OUTPUT", "USE", "WHEN"):
        return place.say_before(codes.INCOMPLETE, f"a value is missing after `{place.last.lower()}`")
    return None


def _shapes(place: _Place) -> Diagnostic | None:
    if place.kind == "QMARK" and "COLON" not in place.statement:
        return place.say(codes.SYNTAX, "`?` stands for an extent in a shape, nowhere else")
    word = re.search(r"(?<!\w)[A-Za-z_]\w*$", place.source.text[: place.failure.after][-100:])
    follows = place.kind in ("NAME", "NUMBER", "EXTENTS", "QMARK", "LPAR") and len(place.statement) == 4
    if word and follows and place.statement[:3] == ("INPUT", "target", "COLON"):
        start, end = place.failure.after - len(word[0]), place.failure.after
        message = f"`{word[0]}` is no kind of values: there are `int` and `bool`, and real numbers, which need no word"
        return place.at(start, end, codes.SYNTAX, message, "", None)
    if place.kind == "DOT" and place.in_body and place.last in ("NAME", "index", "call"):
        message = "a part of a shape is a number, and a number is no step"
        return place.say(codes.NO_STEP, message, help="such as `let rows = it.height`")
    return None


def _same_line(place: _Place) -> Diagnostic | None:
    starts = place.kind in _STATEMENTS | _BLOCKS | _DEFINITIONS | {"NAME", "SHORT"}
    if not starts or place.bracket in ("LPAR", "LSQB") or not ({"_NL"} & place.viable):
        return None
    if place.text == "elif":
        return place.say(codes.SYNTAX, "`elif` is no word of the language", help="write `else if`")
    message = f"{place.shown} begins something new on the line of another statement"
    return place.say(codes.SYNTAX, message, help="put it on a new line, or write `;` or `->` before it")


def _unexpected(place: _Place) -> Diagnostic:
    expected = _expected(place)
    if place.kind in _ENDS:
        return place.say_before(codes.SYNTAX, f"{place.shown} comes too early{expected}")
    help = None
    if place.text == "," and expected.startswith("; `)`"):
        help = "parentheses hold one value; several are a list, `[1, 1]`, or a shape, `1x1`"
    elif place.source.text.startswith("/*", place.failure.start):
        help = _COMMENTS
    return place.say(codes.SYNTAX, f"{place.shown} cannot stand here{expected}", help=help)


def _expected(place: _Place) -> str:
    """What could stand there, unless that is too much to tell."""
    viable = place.viable
    if "LET" in viable:
        return "; a step or a statement is expected"
    if "SKIP" in viable:
        return "; a step is expected"
    if {"NAME", "NUMBER", "NOT"} <= viable:
        return "; a value is expected"
    known = [_WORDS[kind] for kind in _WORDS if kind in viable]
    if len(known) > 1:
        known = [
            word for word in known if word not in ("`(`", "`[`", "`x`") and (word, place.bracket) != ("`=`", "LPAR")
        ]
    return f"; {_list(known)} is expected" if 0 < len(known) <= 4 else ""


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


_FAMILIES: tuple[Callable[[_Place], Diagnostic | None], ...] = (
    _characters,
    _numbers,
    _names,
    _top_level,
    _arrows,
    _equals,
    _branches,
    _braces,
    _positional,
    _steps,
    _incomplete,
    _shapes,
    _same_line,
)
