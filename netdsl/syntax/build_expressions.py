"""Make the expressions of a tree: names, numbers, strings, and what operators and brackets make of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, Label, Report
from netdsl.limits import Limits
from netdsl.source import Source, Span
from netdsl.syntax import ast
from netdsl.syntax.driver import Token

GLUED = re.compile(r"[ksdpg][0-9]+(?:x[0-9]+)*")
"""Attributes in their short form: `k3`, `s2`, `p1x2`."""
_WHOLE = re.compile(r"0|[1-9][0-9]*")
_REAL = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


class EnoughError(Exception):
    """As many mistakes were reported as are ever shown."""


class ExpressionBuilder:
    """Builds the expressions of one text. What the grammar cannot say is checked here and reported."""

    def __init__(self, source: Source, report: Report, limits: Limits) -> None:
        self._mistakes = 0
        self._source = source
        self._text = source.text
        self._report = report
        self._limits = limits
        self._depths: dict[int, int] = {}

    def refuse(self, code: Code, message: str, start: int, end: int, label: str = "", help: str | None = None) -> None:
        """Report a mistake at `start:end`."""
        self.report(Diagnostic(code, message, Label(Span(self._source, start, end), label), help=help))

    def report(self, diagnostic: Diagnostic) -> None:
        """Report a mistake. Raises EnoughError where that makes as many as are shown."""
        self._report.add(diagnostic)
        self._mistakes += 1
        if self._mistakes >= self._limits.errors_shown:
            raise EnoughError

    @property
    def failed(self) -> bool:
        """Whether a mistake was reported."""
        return self._mistakes > 0

    def too_deep(self, at: int) -> None:
        """Report that operators nest too deep, with or without brackets."""
        message = f"operators and values nest more than {self._limits.nesting} deep, which is the limit"
        self.refuse(codes.NESTING_TOO_DEEP, message, at, at + 1)

    def binary(self, start: int, end: int, left: ast.Expr, operator: Token, right: ast.Expr) -> ast.Binary:
        """`a + b`."""
        symbol, at = operator
        if symbol == "-" and self._text[at - 1].isspace() and not self._text[at + 1].isspace():
            self.refuse(
                codes.LOPSIDED_MINUS,
                "a minus with a space only before it reads both as `a - b` and as a value `-b`",
                at,
                at + 1,
                help="write a space on both sides to subtract; write `name=-b` for a negative value",
            )
        made = ast.Binary(symbol, left, right, Span(self._source, start, end))
        self._deepen(made, left, right)
        return made

    def unary(self, start: int, end: int, operator: Token, operand: ast.Expr) -> ast.Unary:
        """`-a`, `not a`."""
        made = ast.Unary(operator[0], operand, Span(self._source, start, end))
        self._deepen(made, operand)
        return made

    def name(self, start: int, end: int, name: Token) -> ast.Name:
        """A name in an expression."""
        return ast.Name(name[0], Span(self._source, start, end))

    def number(self, start: int, end: int, number: Token) -> ast.Number:
        """`64`, `1e-4`."""
        return self._number(number[0], start)

    def string(self, start: int, end: int, string: Token) -> ast.String:
        """A text in quotes."""
        return self._string(string)

    def boolean(self, start: int, end: int, word: Token) -> ast.Boolean:
        """`true`, `false`."""
        return ast.Boolean(word[0] == "true", Span(self._source, start, end))

    def extents(self, start: int, end: int, text: Token) -> ast.Expr:
        """`64x56x56`."""
        return self._extents(text[0], start)

    def unknown(self, start: int, end: int) -> None:
        """`?` in a shape."""

    def shape(self, start: int, end: int, extents: Sequence[ast.Expr | None]) -> ast.ShapeExpr:
        """`3 x size x ?`, `64x56x56`."""
        flat: list[ast.Expr | None] = []
        for extent in extents:
            flat += extent.extents if isinstance(extent, ast.ShapeExpr) else (extent,)
        return ast.ShapeExpr(tuple(flat), Span(self._source, start, end))

    def list_of(self, start: int, end: int, items: Sequence[ast.Expr] = ()) -> ast.ListExpr:
        """`[a, b]`."""
        made = ast.ListExpr(tuple(items), Span(self._source, start, end))
        self._deepen(made, *items)
        return made

    def family(self, start: int, end: int, name: Token, keys: Sequence[ast.Expr]) -> ast.Index:
        """`e[w]`."""
        made = self.index(start, end, self._name(name), keys)
        if self._text[start + len(name[0])] != "[":
            self.refuse(
                codes.POSITIONAL_START,
                f"`[` after `{self._short(name[0])}` and a space: neither a key nor a positional value",
                self._text.index("[", start),
                end,
                help=f"a positional value cannot begin with `[`: write `name=[...]`; for a key write `{name[0]}[...]`",
            )
        return made

    def index(self, start: int, end: int, base: ast.Expr, keys: Sequence[ast.Expr]) -> ast.Index:
        """`widths[i]`."""
        made = ast.Index(base, tuple(keys), Span(self._source, start, end))
        self._deepen(made, base, *keys)
        return made

    def attribute(self, start: int, end: int, base: ast.Expr | Token, name: Token) -> ast.Attribute:
        """`it.height`."""
        of = self._name(base) if isinstance(base, tuple) else base
        made = ast.Attribute(of, name[0], Span(self._source, start, end))
        self._deepen(made, of)
        return made

    def call(self, start: int, end: int, name: Token, arguments: Sequence[ast.Argument] = ()) -> ast.Call:
        """`crop(e4)`."""
        name_end = start + len(name[0])
        if self._text[name_end] != "(":
            self.refuse(
                codes.POSITIONAL_START,
                f"`(` after `{self._short(name[0])}` and a space: neither a call nor a positional value",
                self._text.index("(", name_end),
                end,
                help=f"a positional value cannot begin with `(`: write `name=(...)`, such as `out=(a + b)`; "
                f"for a call write `{name[0]}(...)`",
            )
        name_span = Span(self._source, start, name_end)
        made = ast.Call(name[0], tuple(arguments), name_span, Span(self._source, start, end))
        self._deepen(made, *[argument.value for argument in arguments])
        return made

    def argument(self, start: int, end: int, first: ast.Expr | Token, value: ast.Expr | None = None) -> ast.Argument:
        """`width`, `xs=[a, b]`."""
        span = Span(self._source, start, end)
        if value is None:
            assert not isinstance(first, tuple)
            return ast.Argument(None, first, span)
        assert isinstance(first, tuple)
        return ast.Argument(first[0], value, span)

    # Parts.

    def _name(self, token: Token) -> ast.Name:
        text, start = token
        return ast.Name(text, Span(self._source, start, start + len(text)))

    def _plain_name(self, token: Token, what: str) -> ast.Name:
        if GLUED.fullmatch(token[0]):
            self._reserved(token[0], token[1], what)
        return self._name(token)

    def _reserved(self, name: str, start: int, what: str) -> None:
        self.refuse(
            codes.NOT_A_NAME,
            f"`{self._short(name)}` cannot name {what}: after a word it is read as the attribute {name[0]}={name[1:]}",
            start,
            start + len(name),
            help="only tensors may be called so",
        )

    def _number(self, text: str, start: int) -> ast.Number:
        span = Span(self._source, start, start + len(text))
        if _WHOLE.fullmatch(text):
            # A decimal digit is more than three bits: what is far too long is refused before it is converted.
            bits = self._limits.integer_bits
            if len(text) > bits // 3 + 1 or int(text).bit_length() > bits:
                message = f"this whole number has {len(text)} digits; the limit is {bits} bits"
                self.refuse(codes.NUMBER_TOO_LARGE, message, start, span.end)
                return ast.Number(1, span)
            return ast.Number(int(text), span)
        if _REAL.fullmatch(text):
            value = float(text)
            if not math.isinf(value):
                return ast.Number(value, span)
            message = "this number is too large: the largest is about 1.8e308"
            self.refuse(codes.NUMBER_TOO_LARGE, message, start, span.end)
            return ast.Number(1, span)
        message, help = self._misspelt(text)
        self.refuse(codes.BAD_NUMBER, message, start, span.end, help=help)
        return ast.Number(1, span)

    def _misspelt(self, text: str) -> tuple[str, str | None]:
        shown = self._short(text)
        if re.fullmatch(r"[0-9]+x\w+", text):
            parts = text.split("x")
            parts = parts if all(re.fullmatch(r"[0-9]+|[A-Za-z_]\w*", part) for part in parts) else text.split("x", 1)
            spaced = " x ".join(parts)
            return f"`{shown}` is no shape", f"a shape with names in it is spaced: `{self._short(spaced)}`"
        if re.fullmatch(r"[0-9]+(X[0-9]+)+", text):
            return f"`{shown}` is no shape", f"write `{self._short(text.lower())}`"
        if re.fullmatch(r"[0-9]+x", text):
            return f"`{shown}` is no shape", f"write all numbers closed up (`3x32x32`), others spaced: `{text[:-1]} x`"
        if re.fullmatch(r"0[0-9]+", text):
            plain = text.lstrip("0") or "0"
            return f"`{shown}`: a whole number does not begin with 0", f"write `{self._short(plain)}`"
        if re.fullmatch(r"[0-9]+\.", text):
            return f"`{shown}`: digits are missing after the point", f"write `{shown}0` or `{self._short(text[:-1])}`"
        return f"`{shown}` is no number", None

    def _extents(self, text: str, start: int) -> ast.Expr:
        if "x" not in text:
            return self._number(text, start)
        extents: list[ast.Expr | None] = []
        at = start
        for part in text.split("x"):
            extents.append(None if part == "?" else self._number(part, at))
            at += len(part) + 1
        return ast.ShapeExpr(tuple(extents), Span(self._source, start, start + len(text)))

    def _string(self, token: Token) -> ast.String:
        text, start = token
        span = Span(self._source, start, start + len(text))
        value = text[1:-1]
        if "\\" in value:
            for escape in _ESCAPE.finditer(value):
                if escape[1] not in _ESCAPES:
                    at = start + 1 + escape.start()
                    message = f'`\\{escape[1]}` is no escape: there are `\\n`, `\\"` and `\\\\`'
                    self.refuse(codes.BAD_STRING, message, at, at + 2)
            value = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), value)
        return ast.String(value, span)

    def _deepen(self, made: ast.Expr | ast.If, *parts: ast.Expr | ast.If) -> None:
        """Bound how deep expressions nest without brackets (`a + b + c ...`): whoever reads the tree recurses.

        Nothing after it is read: people do not write such a text, and it may be long.
        """
        depth = 1 + max([self._depths.get(id(part), 0) for part in parts], default=0)
        self._depths[id(made)] = depth
        if depth > self._limits.nesting:
            self.too_deep(made.span.start)
            raise EnoughError

    def _cut(self, span: Span) -> str:
        return self._short(span.text)

    @staticmethod
    def _short(text: str) -> str:
        line = " ".join(text[:200].split())
        return line if len(line) <= 40 else line[:37] + "..."
