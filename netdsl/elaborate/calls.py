"""What a call brings along: parameters, inputs, rows of loops, messages with values in them, and their mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from netdsl import codes
from netdsl.diagnostics import Label, Report
from netdsl.elaborate.context import Context
from netdsl.elaborate.functions import BadValue, items
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.values import (
    POISON,
    Binding,
    BlockRef,
    Call,
    Datum,
    Family,
    Poison,
    SharedLayer,
    WordRef,
    kind,
    text,
)
from netdsl.ir.graph import Value
from netdsl.limits import Limits
from netdsl.ops import BY_WORD
from netdsl.ops.base import Op
from netdsl.source import Source, Span
from netdsl.suggest import nearest
from netdsl.syntax import ast
from netdsl.syntax.parse import parse_expression

Evaluate = Callable[[ast.Expr, Context], Datum]


def bind_parameters(
    definition: ast.Definition,
    positional: Sequence[tuple[Datum, Span]],
    named: Sequence[tuple[str, Datum, Span]],
    span: Span,
    context: Context,
    evaluate: Evaluate,
) -> None:
    """Give a block's parameters their values and defaults, and put aside the tensors for its `input` statements."""
    name = definition.name.name
    parameters = {parameter.name.name: parameter for parameter in definition.parameters}
    inputs = {item.target.name for item in definition.body.statements if isinstance(item, ast.Input)}
    given: dict[str, Datum] = {}
    if len(positional) > len(parameters):
        raise _too_many(definition, positional, len(parameters))
    for key, (value, place) in zip(parameters, positional, strict=False):
        given[key] = _parameter_value(name, key, value, place)
    for key, value, place in named:
        if key in given or key in context.extra:
            raise Mistake(codes.BAD_ARGUMENT, f"`{name}` is given `{key}` twice", place)
        if key in parameters:
            given[key] = _parameter_value(name, key, value, place)
        elif key in inputs and definition.kind == "block":
            context.extra[key] = value
        else:
            raise _unknown_argument(name, key, place, [*parameters, *inputs])
    for key, parameter in parameters.items():
        if key not in given:
            if parameter.default is None:
                raise Mistake(
                    codes.MISSING_ARGUMENT,
                    f"`{name}` needs its parameter `{key}`",
                    span,
                    secondary=(Label(parameter.span, "declared here"),),
                    help=_net_parameter(key) if definition.kind == "net" else f"write `{name}({key} = ...)`",
                )
            given[key] = evaluate(parameter.default, context)
        context.scope.set(key, given[key], parameter.name.span, "parameter")


def _net_parameter(key: str) -> str:
    return f"give it a default, or a value on the command line: `--set {key}=...`"


def _parameter_value(block: str, key: str, value: Datum, span: Span) -> Datum:
    if isinstance(value, Value | Family):
        raise Mistake(
            codes.BAD_ARGUMENT,
            f"the parameter `{key}` of `{block}` is settled when compiled, but this is {kind(value)}",
            span,
            help=f"a block works on the tensor before it: `{span.text} -> {block}(...)`",
        )
    return value


def _too_many(definition: ast.Definition, positional: Sequence[tuple[Datum, Span]], count: int) -> Mistake:
    name = definition.name.name
    value, span = positional[count]
    takes = "no parameters" if count == 0 else "1 parameter" if count == 1 else f"{count} parameters"
    tensor = isinstance(value, Value | Family)
    return Mistake(
        codes.BAD_ARGUMENT,
        f"`{name}` takes {takes}; {span.text} is one more",
        span,
        secondary=(Label(definition.name.span, "defined here"),),
        help=f"a block works on the tensor before it: `{span.text} -> {name}`" if tensor else None,
    )


def _unknown_argument(name: str, key: str, span: Span, known: list[str]) -> Mistake:
    near = nearest(key, known)
    listed = ", ".join(f"`{item}`" for item in known)
    return Mistake(
        codes.UNKNOWN_ATTRIBUTE,
        f"`{name}` has no parameter `{key}`",
        span,
        help=f"did you mean `{near}`?" if near else f"it has {listed}" if known else "it has none",
    )


def block_input(value: Datum, name: str) -> Datum:
    """What a block's `input` becomes: a tensor or a family; a list of tensors is a family by position."""
    if isinstance(value, list):
        return Family(name, {(index,): item for index, item in enumerate(value)})
    return value


def frame_text(definition: ast.Definition, call: Call) -> str:
    """A call as the chain of block calls shows it: `bottleneck(width = 64)`."""
    given = [
        f"{parameter.name.name} = {text(value)}"
        for parameter, (value, _) in zip(definition.parameters, call.positional, strict=False)
    ]
    given += [
        f"{name} = {text(value)}" for name, value, _ in call.named if not isinstance(value, Value | Family | list)
    ]
    return f"{definition.name.name}({', '.join(given)})" if given else definition.name.name


def fill(message: ast.String, evaluate: Callable[[ast.Expr], Datum], limits: Limits) -> str:
    """A message with its `{expression}` fields filled in: the language's own expressions, and no format of Python's.

    Braces that hold none stay as they are.
    """

    def field(match: re.Match[str]) -> str:
        expression = parse_expression(Source("message", match[1]), Report(), limits)
        if expression is None:
            return match[0]
        try:
            value = evaluate(expression)
        except Mistake as mistake:
            # Its place is the text of the file, not the piece that was taken out of it.
            raise Mistake(mistake.code, mistake.message, message.span, help=mistake.help) from None
        return value if isinstance(value, str) else text(value)

    return re.sub(r"\{([^{}]*)\}", field, message.value)


def output_name(expression: ast.Expr) -> str:
    """The name of a result, from the expression that gives it."""
    match expression:
        case ast.Name():
            return expression.name
        case ast.Index(base=base, keys=keys):
            return ".".join([output_name(base), *[key.span.text for key in keys]])
        case _:
            return "output"


def unknown_tensor(name: str, span: Span, context: Context) -> Mistake:
    """A name that stands for nothing, where only a tensor would do."""
    near = nearest(name, context.scope.names())
    help = f"did you mean `{near}`?" if near else None
    return Mistake(codes.UNKNOWN_NAME, f"there is no tensor `{name}`", span, help=help)


def joining(link: ast.Branches, blocks: Mapping[str, ast.Definition]) -> type[Op]:
    """The operator that joins branches."""
    op = BY_WORD.get(link.word)
    joins = [word for word, known in BY_WORD.items() if known.written and known.operands[0] >= 2]
    if op is None or op.word not in joins or link.word in blocks:
        near = nearest(link.word, joins)
        raise Mistake(
            codes.UNKNOWN_WORD if op is None else codes.BAD_OPERANDS,
            f"`{link.word}` does not join branches",
            link.word_span,
            help=f"did you mean `{near}`?" if near else "branches are joined by `add`, `mul` or `concat`",
        )
    return op


def rows(value: Datum, span: Span) -> list[Datum]:
    """What a `for` runs over."""
    try:
        return items(value, "`for`")
    except BadValue as problem:
        count = isinstance(value, int) and not isinstance(value, bool)
        raise Mistake(
            codes.BAD_VALUE, str(problem), span, help=f"count with `range({span.text})`" if count else None
        ) from None


def bind_row(names: tuple[ast.Name, ...], row: Datum, span: Span, context: Context) -> None:
    """Give the loop variables their values for one round."""
    values: list[Datum]
    if isinstance(row, Poison):
        values = [POISON] * len(names)
    elif len(names) == 1:
        values = [row]
    elif isinstance(row, list) and len(row) == len(names):
        values = row
    else:
        found = f"{len(row)} values" if isinstance(row, list) else kind(row)
        raise Mistake(
            codes.BAD_VALUE,
            f"this loop names {len(names)} values, but a round brings {found}: {text(row)}",
            span,
            secondary=(Label(names[0].span.to(names[-1].span), f"{len(names)} names"),),
        )
    for name, value in zip(names, values, strict=True):
        context.scope.set(name.name, value, name.span, "loop")


def unnamed_results(count: int, span: Span) -> Mistake:
    """A layer with several results that `as` does not name."""
    names = ", ".join("abcdefgh"[:count]) if count <= 8 else "a, b, ..."
    return Mistake(
        codes.DROPPED_RESULT,
        f"this layer has {count} results, and all of them need names",
        span,
        help=f"name them: `{span.text.split(chr(10))[0]} as {names}`",
    )


def wrong_count(naming: ast.Naming, count: int, span: Span) -> Mistake:
    """`as` with more or fewer names than the layer has results."""
    names = len(naming.targets)
    results = f"{count} result{'s' if count > 1 else ''}"
    return Mistake(
        codes.BAD_OPERANDS,
        f"`as` gives {names} name{'s' if names > 1 else ''}, but this layer has {results}",
        naming.span,
        secondary=(Label(span, results),),
    )


def tensor_in_chain(span: Span) -> Mistake:
    """A tensor where a layer is expected; it would drop what stands before."""
    return Mistake(
        codes.WRONG_PLACE,
        f"`{span.text}` is a tensor, and only a chain's first link may be one",
        span,
        "what stands before it would be dropped",
        help=f"begin a new line with `{span.text} -> ...`, or join the two: `add({span.text})`",
    )


def not_a_layer(step: ast.Step, binding: Binding) -> Mistake:
    """A number, a list or a tensor used as a layer."""
    return Mistake(
        codes.WRONG_PLACE,
        f"`{step.word}` is {kind(binding.value)}, not a layer",
        step.word_span,
        secondary=(Label(binding.span, "set here"),),
    )


def values_of_block(step: ast.Step, target: BlockRef | WordRef | SharedLayer) -> Mistake:
    """Bare values or attributes after a block or a shared layer."""
    extra = (*step.values, *step.settings)
    shown = ", ".join(item.span.text for item in sorted(extra, key=lambda item: item.span.start))
    if isinstance(target, SharedLayer):
        help = f"its values are those of its declaration; call it plainly: `{step.word}(x)`"
    else:
        help = f"a block's parameters stand in parentheses: `{step.word}({shown})`"
    what = "a shared layer" if isinstance(target, SharedLayer) else "a block"
    return Mistake(codes.BAD_ARGUMENT, f"`{step.word}` is {what} and takes no bare values", extra[0].span, help=help)


def named_operand(op: type[Op], argument: ast.Argument) -> Mistake:
    """An operator's attribute inside the parentheses that hold its tensors."""
    known = next((item for item in op.schema() if argument.name in (item.name, item.short)), None)
    return Mistake(
        codes.UNKNOWN_ATTRIBUTE,
        f"the parentheses of `{op.word}` hold tensors, and it takes none by the name `{argument.name}`",
        argument.span,
        help=f"write it after the word: `{op.word}(...) {argument.span.text}`" if known else None,
    )


def check_parentheses(op: type[Op], step: ast.Step) -> None:
    """Refuse an operator's own values in the parentheses that hold its tensors: `conv(64, 3)`."""
    required = [item for item in op.schema() if item.required]
    first = step.arguments[0].value if step.arguments else None
    if required and not step.values and isinstance(first, ast.Number | ast.ShapeExpr):
        values = [
            item.choices[0] if item.choices else "64" if item.positional else f"{item.short}3" for item in required
        ]
        raise Mistake(
            codes.BAD_OPERANDS,
            f"the parentheses of `{op.word}` hold tensors, and {first.span.text} is none",
            first.span,
            help=f"a layer's own values follow its word, without commas: `{' '.join([op.word, *values])}`",
        )
