"""Expressions: settled while the program is expanded. Layers called inside an expression are left to the expander."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from netdsl import codes
from netdsl.diagnostics import Code, Label
from netdsl.elaborate import spellings
from netdsl.elaborate.context import Context
from netdsl.elaborate.functions import FUNCTIONS, BadValue, TooLarge, binary, number
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.names import set_in
from netdsl.elaborate.values import POISON, BlockRef, Datum, Family, Key, Poison, WordRef, keys_text, kind, text
from netdsl.ir.graph import Value
from netdsl.limits import Limits
from netdsl.ops import BY_WORD
from netdsl.source import Span
from netdsl.suggest import nearest
from netdsl.syntax import ast

Compute = Callable[[], Datum]

BARE_SHAPES = ("channels", "features", "length")
"""Shape words that stand for `it`'s without saying so."""
_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LIMIT_CODES: dict[str, Code] = {"integer_bits": codes.NUMBER_TOO_LARGE, "list_length": codes.LIST_TOO_LONG}
_BUDGETS: dict[str, tuple[Code, str]] = {
    "loop_iterations": (codes.TOO_MANY_ITERATIONS, "rounds of loops"),
    "block_calls": (codes.TOO_MANY_ITERATIONS, "calls of blocks"),
    "statements": (codes.TOO_MANY_ITERATIONS, "statements"),
    "list_items": (codes.LIST_TOO_LONG, "items of lists"),
    "operands": (codes.TOO_MANY_LAYERS, "operands of layers"),
}
"""What a whole program may do, by the limit that bounds it: it is counted over all loops and blocks."""


class Evaluator(ABC):
    """Evaluates expressions in a context. A failed expression raises Mistake; what depends on one is POISON."""

    def __init__(self, training: bool, limits: Limits) -> None:
        self.training = training
        self.limits = limits
        self._spent = dict.fromkeys(_BUDGETS, 0)

    @abstractmethod
    def call_layer(self, call: ast.Call, context: Context) -> Datum:
        """The result of a block, operator or shared layer that an expression calls."""

    @abstractmethod
    def stop(self, code: Code, what: str, span: Span, limit: str | None, context: Context) -> None:
        """Report a stated limit and end the elaboration."""

    def spend(self, limit: str, count: int, span: Span, context: Context) -> None:
        """Count work against the limit of that name, before it is done."""
        self._spent[limit] += count
        bound: int = getattr(self.limits, limit)
        if self._spent[limit] > bound:
            code, what = _BUDGETS[limit]
            self.stop(code, f"more than {bound:,} {what}", span, limit, context)

    def evaluate(self, expression: ast.Expr, context: Context) -> Datum:
        """The value of an expression."""
        match expression:
            case ast.Number() | ast.String() | ast.Boolean():
                return expression.value
            case ast.Name():
                return self._name(expression, context)
            case ast.Binary():
                return self._binary(expression, context)
            case ast.Unary():
                return self._unary(expression, context)
            case ast.Index():
                return self._index(expression, context)
            case ast.Attribute():
                return self._attribute(expression, context)
            case ast.ListExpr():
                self.spend("list_items", len(expression.items), expression.span, context)
                values = [self.evaluate(item, context) for item in expression.items]
                return POISON if any(isinstance(value, Poison) for value in values) else values
            case ast.ShapeExpr():
                return self._shape(expression, context)
            case ast.Call():
                if expression.name in FUNCTIONS and not self._is_own(expression.name, context):
                    return self._function(expression, context)
                return self.call_layer(expression, context)

    def whole(self, expression: ast.Expr, context: Context, what: str) -> int | None:
        """A whole number, or None where the expression failed before."""
        value = self.evaluate(expression, context)
        if isinstance(value, Poison):
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise Mistake(codes.BAD_VALUE, f"{what} is a whole number, but this is {kind(value)}", expression.span)
        return value

    def condition(self, expression: ast.Expr, context: Context, what: str) -> bool | None:
        """True or false, or None where the expression failed before."""
        value = self.evaluate(expression, context)
        if isinstance(value, Poison):
            return None
        if not isinstance(value, bool):
            raise Mistake(
                codes.BAD_VALUE,
                f"{what} is true or false, but this is {kind(value)}",
                expression.span,
                help="compare it with something: `n > 0`" if isinstance(value, int | float) else None,
            )
        return value

    def extents(self, shape: ast.ShapeExpr, context: Context, least: int = 1) -> tuple[int | None, ...] | None:
        """The extents of a shape, None for each `?`; None where one failed before."""
        result: list[int | None] = []
        for extent in shape.extents:
            if extent is None:
                result.append(None)
                continue
            value = self.whole(extent, context, "an extent of a shape")
            if value is None:
                return None
            if value < least:
                message = f"an extent of a shape is at least {least}, but this is {value}"
                raise Mistake(codes.BAD_VALUE, message, extent.span)
            result.append(value)
        return tuple(result)

    def keys(self, keys: tuple[ast.Expr, ...], context: Context) -> tuple[Key, ...]:
        """The keys of a family's member."""
        result: list[Key] = []
        for key in keys:
            value = self.evaluate(key, context)
            if not isinstance(value, bool | int | float | str):
                raise Mistake(codes.BAD_VALUE, f"a key is a number, a string or a boolean, not {kind(value)}", key.span)
            if isinstance(value, str) and not _KEY.fullmatch(value):
                message = f"a key becomes part of a layer's name, so {text(value)} cannot be one"
                raise Mistake(codes.BAD_VALUE, message, key.span, help="keys are letters, digits, `_` and `-`")
            result.append(value)
        return tuple(result)

    def unknown_name(self, name: str, span: Span, context: Context, code: Code = codes.UNKNOWN_NAME) -> Mistake:
        """The mistake of a name that stands for nothing, with the nearest that does."""
        what = "layer" if code == codes.UNKNOWN_WORD else "name"
        known = [*context.scope.names(), *context.blocks, *self._written_words()]
        if code == codes.UNKNOWN_NAME:
            known += [*BARE_SHAPES, *FUNCTIONS, "training", "it"]
        near = nearest(name, known)
        help = f"did you mean `{near}`?" if near else None
        secondary: tuple[Label, ...] = ()
        if code == codes.UNKNOWN_WORD:
            help = help or "`netdsl ops` lists the layers"
        elif spellings.value(name):
            help = spellings.value(name)
        elif elsewhere := next(set_in(context.definition.body, name), None):
            secondary = (Label(elsewhere, "set here"),)
            help = "a name is used after the line that sets it"
            if elsewhere.start < span.start:
                help = f"what a loop or `each` sets lives inside it; a family outlives a loop: `{name}[i]`"
        return Mistake(code, f"unknown {what} `{name}`", span, secondary=secondary, help=help)

    def _written_words(self) -> Iterator[str]:
        return (word for word, op in BY_WORD.items() if op.written)

    def _is_own(self, name: str, context: Context) -> bool:
        return name in context.blocks or context.scope.find(name) is not None

    def _name(self, expression: ast.Name, context: Context) -> Datum:
        name = expression.name
        if name == "it":
            return self.current(expression.span, context)
        binding = context.scope.find(name)
        if binding is not None:
            binding.used = True
            return binding.value
        if name in BARE_SHAPES:
            return self._property(self.current(expression.span, context), name, expression.span)
        if name == "training":
            return self.training
        if name in context.blocks:
            return BlockRef(context.blocks[name])
        if name in BY_WORD and BY_WORD[name].written:
            return WordRef(name)
        raise self.unknown_name(name, expression.span, context)

    def current(self, span: Span, context: Context) -> Datum:
        """`it`, which must have a value."""
        if context.it is None:
            raise Mistake(
                codes.NO_VALUE, "there is no current tensor yet", span, help="begin with an `input` or with a name"
            )
        return context.it

    def _binary(self, expression: ast.Binary, context: Context) -> Datum:
        symbol = expression.operator
        if symbol in ("and", "or"):
            left = self.condition(expression.left, context, f"the left side of `{symbol}`")
            if left is None:
                return POISON
            if left == (symbol == "or"):
                return left
            right = self.condition(expression.right, context, f"the right side of `{symbol}`")
            return POISON if right is None else right
        a, b = self.evaluate(expression.left, context), self.evaluate(expression.right, context)
        if isinstance(a, Poison) or isinstance(b, Poison):
            return POISON
        if isinstance(a, Value | Family) or isinstance(b, Value | Family):
            words = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
            word = words.get(symbol)
            raise Mistake(
                codes.BAD_VALUE,
                f"`{symbol}` works on numbers, not on tensors",
                expression.span,
                help=f"join tensors with the layer `{word}`: `{word}(a, b)`" if word else None,
            )
        self.spend("list_items", _length(a) + _length(b), expression.span, context)
        result = self._bounded(lambda: binary(symbol, a, b, self.limits), expression.span)
        self.spend("list_items", _length(result), expression.span, context)
        return result

    def _unary(self, expression: ast.Unary, context: Context) -> Datum:
        if expression.operator == "not":
            value = self.condition(expression.operand, context, "what follows `not`")
            return POISON if value is None else not value
        operand = self.evaluate(expression.operand, context)
        if isinstance(operand, Poison):
            return POISON
        return self._bounded(lambda: -number(operand, "`-`"), expression.span)

    def _function(self, call: ast.Call, context: Context) -> Datum:
        least, most, function = FUNCTIONS[call.name]
        arguments: list[Datum] = []
        for argument in call.arguments:
            if argument.name is not None:
                raise Mistake(codes.UNKNOWN_ATTRIBUTE, f"`{call.name}` takes no arguments by name", argument.span)
            arguments.append(self.evaluate(argument.value, context))
        if any(isinstance(argument, Poison) for argument in arguments):
            return POISON
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise Mistake(
                codes.BAD_ARGUMENT, f"`{call.name}` takes {wanted} arguments, but here are {len(arguments)}", call.span
            )
        self.spend("list_items", sum(map(_length, arguments)), call.span, context)
        result = self._bounded(lambda: function(arguments, self.limits), call.span)
        self.spend("list_items", _length(result), call.span, context)
        return result

    def _bounded(self, compute: Compute, span: Span) -> Datum:
        try:
            return compute()
        except BadValue as problem:
            raise Mistake(codes.BAD_VALUE, str(problem), span) from None
        except OverflowError:
            raise Mistake(codes.BAD_VALUE, "the number is too large here", span) from None
        except TooLarge as problem:
            limit: int = getattr(self.limits, problem.limit)
            raise Mistake(
                _LIMIT_CODES[problem.limit],
                f"{problem}, past the limit of {limit:,}",
                span,
                help=f"if it is meant, raise the limit: `--limit {problem.limit}=...`",
            ) from None

    def _index(self, expression: ast.Index, context: Context) -> Datum:
        base = self.evaluate(expression.base, context)
        if isinstance(base, Poison):
            return POISON
        if isinstance(base, Value):
            raise Mistake(
                codes.BAD_VALUE,
                "brackets never slice a tensor",
                expression.span,
                help="use the layers `slice`, `take` or `split`",
            )
        keys = self.keys(expression.keys, context)
        if isinstance(base, Family):
            if keys not in base.members:
                self.spend("list_items", len(base), expression.span, context)
            member = base.select(keys)
            if member is None:
                known = ", ".join(f"[{keys_text(key)}]" for key in list(base.members)[:8])
                raise Mistake(
                    codes.UNKNOWN_NAME,
                    f"the family `{base.name}` has no member [{keys_text(keys)}]",
                    expression.span,
                    help=f"it has {known}" if known else None,
                )
            return member
        if not isinstance(base, list | tuple):
            raise Mistake(codes.BAD_VALUE, f"{kind(base)} has no elements", expression.span)
        (index,) = keys if len(keys) == 1 else (None,)
        if isinstance(index, bool) or not isinstance(index, int) or not -len(base) <= index < len(base):
            raise Mistake(
                codes.BAD_VALUE,
                f"a list of {len(base)} items has no item [{keys_text(keys)}]",
                expression.span,
                help="items are counted from 0" if base else None,
            )
        return base[index]

    def _attribute(self, expression: ast.Attribute, context: Context) -> Datum:
        base = self.evaluate(expression.base, context)
        return self._property(base, expression.name, expression.span)

    def _property(self, base: Datum, name: str, span: Span) -> Datum:
        if isinstance(base, Poison):
            return POISON
        if isinstance(base, Family | list) and name == "length":
            return len(base)
        if not isinstance(base, Value):
            raise Mistake(codes.BAD_VALUE, f"{kind(base)} has no `{name}`", span)
        shape = base.type.shape
        properties = {"channels": shape[:1], "features": shape[-1:], "size": (base.type.size,), "rank": (len(shape),)}
        if len(shape) == 2:
            # Tokens are length x features, a signal is channels x width.
            properties |= {"length": shape[:1], "width": shape[1:]}
        elif len(shape) == 3:
            properties |= {"height": shape[1:2], "width": shape[2:]}
        elif len(shape) == 1:
            properties |= {"length": shape}
        found = properties.get(name)
        if not found:
            near = nearest(name, properties)
            raise Mistake(
                codes.BAD_VALUE,
                f"{text(base)} has no `{name}`",
                span,
                help=f"did you mean `{near}`?" if near else f"it has {', '.join(properties)}",
            )
        return found[0]

    def _shape(self, expression: ast.ShapeExpr, context: Context) -> Datum:
        # Paddings are written like shapes, and may be 0 on an axis: `p0x3`.
        extents = self.extents(expression, context, least=0)
        if extents is None:
            return POISON
        known = tuple(extent for extent in extents if extent is not None)
        if len(known) < len(extents):
            raise Mistake(codes.BAD_VALUE, "`?` stands only in shapes that are checked", expression.span)
        return known


def _length(value: Datum) -> int:
    return len(value) if isinstance(value, list) else 0
