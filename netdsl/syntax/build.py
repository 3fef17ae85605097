"""Make the tree: one method for every rule of the grammar, called by `netdsl.syntax.driver` as it recognises them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from netdsl import codes
from netdsl.diagnostics import Report
from netdsl.limits import Limits
from netdsl.source import Source, Span
from netdsl.syntax import ast
from netdsl.syntax.build_expressions import GLUED, ExpressionBuilder
from netdsl.syntax.driver import Token

_CONSTANTS = (ast.Number, ast.String, ast.Boolean, ast.ListExpr, ast.Binary, ast.Unary)

Extra = ast.Expr | ast.Setting


class Builder(ExpressionBuilder):
    """Builds the tree of one text. What the grammar cannot say is checked here and reported; building goes on."""

    def __init__(self, source: Source, report: Report, limits: Limits) -> None:
        super().__init__(source, report, limits)
        self._marked = False  # whether the chain being read has a name or a check
        self._named: set[str] = set()
        self._like_attributes: list[ast.Step] = []

    # Lists and single parts.

    def one(self, start: int, end: int, item: object) -> list[object]:
        """The first of several."""
        return [item]

    def more(self, start: int, end: int, items: list[object], item: object) -> list[object]:
        """One more."""
        items.append(item)
        return items

    def none(self, start: int, end: int) -> list[object]:
        """No items between two brackets."""
        return []

    # Files.

    def file(self, start: int, end: int, items: Sequence[ast.Use | ast.Definition] = ()) -> ast.File:
        """The whole text. Only now is it known which names the text gives, and so what `k3` on a line of its own is."""
        for step in self._like_attributes:
            if step.word not in self._named:
                self._attribute_apart(step)
        return ast.File(
            uses=tuple(item for item in items if isinstance(item, ast.Use)),
            definitions=tuple(item for item in items if isinstance(item, ast.Definition)),
            comments=(),
            span=Span(self._source, 0, len(self._text)),
        )

    def use(self, start: int, end: int, path: Token) -> ast.Use:
        """`use "std/blocks.net"`."""
        return ast.Use(self._string(path), Span(self._source, start, end))

    def definition(
        self, start: int, end: int, kind: Token, name: Token, *rest: Sequence[ast.Parameter] | ast.Body
    ) -> ast.Definition:
        """`net Name(parameters) { ... }`."""
        *parameters, body = rest
        assert isinstance(body, ast.Body)
        given: Sequence[ast.Parameter] = parameters[0] if parameters else ()  # type: ignore[assignment]
        return ast.Definition(kind[0], self._name(name), tuple(given), body, Span(self._source, start, end))

    def parameter(self, start: int, end: int, name: Token, default: ast.Expr | None = None) -> ast.Parameter:
        """`stride = 1`."""
        return ast.Parameter(self._plain_name(name, "a parameter"), default, Span(self._source, start, end))

    # Statements.

    def body(self, start: int, end: int, statements: Sequence[ast.Statement] = ()) -> ast.Body:
        """`{ ... }`."""
        return ast.Body(tuple(statements), Span(self._source, start, end))

    def let(self, start: int, end: int, target: ast.Target, value: ast.Expr | ast.Chain) -> ast.Let:
        """`let up = p5 -> upsample s2`."""
        if isinstance(value, _CONSTANTS) and GLUED.fullmatch(target.name):
            self._reserved(target.name, target.span.start, "a number")
        return ast.Let(target, value, Span(self._source, start, end))

    def input_any(self, start: int, end: int, target: ast.Target) -> ast.Input:
        """`input memory`."""
        return ast.Input(target, None, None, Span(self._source, start, end))

    def input_real(self, start: int, end: int, target: ast.Target, shape: ast.ShapeExpr) -> ast.Input:
        """`input image: 3x224x224`."""
        return ast.Input(target, None, shape, Span(self._source, start, end))

    def input_typed(self, start: int, end: int, target: ast.Target, dtype: Token, shape: ast.ShapeExpr) -> ast.Input:
        """`input words: int length`."""
        return ast.Input(target, dtype[0], shape, Span(self._source, start, end))

    def param(self, start: int, end: int, target: ast.Target, shape: ast.ShapeExpr, init: ast.Expr) -> ast.Param:
        """`param gamma: width x 1 x 1 = 1e-6`."""
        return ast.Param(target, shape, init, Span(self._source, start, end))

    def share(self, start: int, end: int, name: Token, step: ast.Step) -> ast.Share:
        """`share box = head(36)`."""
        self._named.add(name[0])
        return ast.Share(self._name(name), step, Span(self._source, start, end))

    def assertion(self, start: int, end: int, condition: ast.Expr, message: Token | None = None) -> ast.Assert:
        """`assert width > 0 : "..."`."""
        text = self._string(message) if message else None
        return ast.Assert(condition, text, Span(self._source, start, end))

    def output(self, start: int, end: int, values: Sequence[ast.Expr]) -> ast.Output:
        """`output boxes, scores`."""
        return ast.Output(tuple(values), Span(self._source, start, end))

    def target(self, start: int, end: int, name: Token, keys: Sequence[ast.Expr] = ()) -> ast.Target:
        """`e1`, `e[w]`."""
        self._named.add(name[0])
        return ast.Target(name[0], tuple(keys), Span(self._source, start, end))

    # Chains.

    def chain(self, start: int, end: int, links: list[ast.Link]) -> ast.Chain:
        """The steps of a line."""
        if self._marked:
            self._marked = False
            self._check_marks(links)
        first = links[0]
        if type(first) is ast.Step and GLUED.fullmatch(first.word):
            if first.settings or first.values:
                self._attribute_apart(first)
            elif len(links) == 1:
                self._like_attributes.append(first)
        return ast.Chain(tuple(links), Span(self._source, start, end))

    def naming(self, start: int, end: int, targets: Sequence[ast.Target]) -> ast.Naming:
        """`as keep, work`."""
        self._marked = True
        return ast.Naming(tuple(targets), Span(self._source, start, end))

    def check(self, start: int, end: int, shape: ast.ShapeExpr) -> ast.Check:
        """`: 64x56x56`."""
        self._marked = True
        return ast.Check(shape, Span(self._source, start, end))

    def reference(self, start: int, end: int, value: ast.Index) -> ast.Reference:
        """`c[l]`."""
        return ast.Reference(value, value.span)

    def word(self, start: int, end: int, word: Token) -> ast.Step:
        """`relu`."""
        span = Span(self._source, start, end)
        return ast.Step(word[0], None, (), (), span, span)

    def called(self, start: int, end: int, call: ast.Call) -> ast.Step:
        """`double(64)`."""
        return ast.Step(call.name, call.arguments, (), (), call.name_span, call.span)

    def word_with(self, start: int, end: int, word: Token, extras: Sequence[Extra]) -> ast.Step:
        """`conv 64 k3 nobias`."""
        values, settings = self._sorted(extras)
        span = Span(self._source, start, start + len(word[0]))
        return ast.Step(word[0], None, values, settings, span, Span(self._source, start, end))

    def called_with(self, start: int, end: int, call: ast.Call, extras: Sequence[Extra]) -> ast.Step:
        """`attention(memory) heads=8`."""
        values, settings = self._sorted(extras)
        return ast.Step(call.name, call.arguments, values, settings, call.name_span, Span(self._source, start, end))

    def short(self, start: int, end: int, text: Token) -> ast.Setting:
        """`k3x5`."""
        value = self._extents(text[0][1:], start + 1)
        return ast.Setting(text[0][0], value, Span(self._source, start, start + 1), Span(self._source, start, end))

    def setting(self, start: int, end: int, name: Token, value: ast.Expr) -> ast.Setting:
        """`s=stride`."""
        name_span = Span(self._source, start, start + len(name[0]))
        return ast.Setting(name[0], value, name_span, Span(self._source, start, end))

    # Blocks within a chain.

    def branches(self, start: int, end: int, word: Token, branches: Sequence[ast.Body]) -> ast.Branches:
        """`add { | F | it }`."""
        return self.branches_with(start, end, word, (), branches)

    def branches_with(
        self, start: int, end: int, word: Token, extras: Sequence[Extra], branches: Sequence[ast.Body]
    ) -> ast.Branches:
        """`concat axis=1 { | F | it }`."""
        settings = []
        for extra in extras:
            if isinstance(extra, ast.Setting):
                settings.append(extra)
            elif isinstance(extra, ast.Name):
                settings.append(ast.Setting(extra.name, None, extra.span, extra.span))
            else:
                message = f"`{word[0]}` over branches takes no value, here is `{self._cut(extra.span)}`"
                self.refuse(codes.BRANCHES, message, extra.span.start, extra.span.end)
        word_span = Span(self._source, start, start + len(word[0]))
        return ast.Branches(word[0], tuple(branches), tuple(settings), word_span, Span(self._source, start, end))

    def branch(self, start: int, end: int, statements: Sequence[ast.Statement] = ()) -> ast.Body:
        """`| F`."""
        if not statements:
            self.refuse(
                codes.BRANCHES, "this branch is empty", start, start + 1, help="a branch that changes nothing is `| it`"
            )
            return ast.Body((), Span(self._source, start, start + 1))
        return ast.Body(tuple(statements), Span(self._source, start, statements[-1].span.end))

    def skip(self, start: int, end: int, body: ast.Body, via: ast.Body | None = None) -> ast.Skip:
        """`skip { F } via { G }`."""
        return ast.Skip(body, via, None, Span(self._source, start, start + 4), Span(self._source, start, end))

    def skip_when(
        self, start: int, end: int, when: Token, condition: ast.Expr, body: ast.Body, via: ast.Body | None = None
    ) -> ast.Skip:
        """`skip when=(stride == 1) { F }`."""
        if when[0] != "when":
            message = f"`skip` has no attribute `{when[0]}`, only `when`"
            self.refuse(codes.MISPLACED_PART, message, when[1], when[1] + len(when[0]))
        word_span = Span(self._source, start, start + 4)
        return ast.Skip(body, via, condition, word_span, Span(self._source, start, end))

    def each(self, start: int, end: int, body: ast.Body) -> ast.Each:
        """`each { F }`."""
        return ast.Each(body, Span(self._source, start, start + 4), Span(self._source, start, end))

    def repeat(self, start: int, end: int, count: ast.Expr, body: ast.Body) -> ast.Repeat:
        """`repeat n { ... }`."""
        return ast.Repeat(count, body, Span(self._source, start, start + 6), Span(self._source, start, end))

    def loop(self, start: int, end: int, names: Sequence[Token], values: ast.Expr, body: ast.Body) -> ast.For:
        """`for a, b in pairs { ... }`."""
        loops = tuple(self._plain_name(name, "a loop's variable") for name in names)
        return ast.For(loops, values, body, Span(self._source, start, start + 3), Span(self._source, start, end))

    def condition(
        self, start: int, end: int, condition: ast.Expr, body: ast.Body, otherwise: ast.Body | None = None
    ) -> ast.If:
        """`if c { ... } else { ... }`."""
        return ast.If(condition, body, otherwise, Span(self._source, start, start + 2), Span(self._source, start, end))

    def else_if(self, start: int, end: int, condition: ast.Expr, body: ast.Body, otherwise: ast.If) -> ast.If:
        """`if c { ... } else if d { ... }`."""
        chain = ast.Chain((otherwise,), otherwise.span)
        made = self.condition(start, end, condition, body, ast.Body((chain,), otherwise.span))
        self._deepen(made, otherwise)
        return made

    # Parts.

    def _sorted(self, extras: Sequence[Extra]) -> tuple[tuple[ast.Expr, ...], tuple[ast.Setting, ...]]:
        """Positional values, then attributes. A bare word is a value before the first attribute, a flag after it."""
        values: list[ast.Expr] = []
        settings: list[ast.Setting] = []
        for extra in extras:
            kind = type(extra)
            if kind is ast.Setting:
                settings.append(extra)  # type: ignore[arg-type]
            elif not settings:
                values.append(extra)  # type: ignore[arg-type]
            elif kind is ast.Name:
                settings.append(ast.Setting(extra.name, None, extra.span, extra.span))  # type: ignore[union-attr]
            else:
                self.refuse(
                    codes.MISPLACED_PART,
                    f"the value `{self._cut(extra.span)}` comes after an attribute",
                    extra.span.start,
                    extra.span.end,
                    help="positional values come first: `conv 64 k3`; others have names: `out=64`",
                )
        return tuple(values), tuple(settings)

    def _check_marks(self, links: Sequence[ast.Link]) -> None:
        for link, following in pairwise(links):
            start, end = following.span.start, following.span.end
            if isinstance(link, ast.Check) and isinstance(following, ast.Naming | ast.Check):
                named = isinstance(following, ast.Naming)
                message = "a check of the shape comes after the name" if named else "this shape is checked twice"
                self.refuse(codes.MISPLACED_PART, message, start, end)
            elif isinstance(link, ast.Check) and "\n" not in self._text[link.span.end : start]:
                self.refuse(
                    codes.MISPLACED_PART,
                    "a check of the shape ends its line",
                    link.span.start,
                    link.span.end,
                    help="put the next step on a new line",
                )
            elif isinstance(link, ast.Naming) and isinstance(following, ast.Naming):
                message = "this step is named twice"
                self.refuse(codes.MISPLACED_PART, message, start, end, help="several results: `as first, second`")

    def _attribute_apart(self, step: ast.Step) -> None:
        self.refuse(
            codes.ATTRIBUTES_APART,
            f"`{self._short(step.word)}` is an attribute, but no step stands before it on its line",
            step.word_span.start,
            step.word_span.end,
            help="attributes stay on the line of their step: `conv 64 k3`",
        )
