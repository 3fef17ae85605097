"""Making nodes: operands, weights under their addresses, shape errors with both origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, Label, Report
from netdsl.elaborate.context import Context
from netdsl.elaborate.mistakes import LimitMet, Mistake
from netdsl.elaborate.values import Datum, Family, Poison, WordRef, kind, text
from netdsl.ir.build import GraphBuilder, Signature
from netdsl.ir.graph import Value
from netdsl.limits import Limits
from netdsl.ops.base import Init, Op, ShapeError
from netdsl.source import Span
from netdsl.tensor import shape_text

Operand = tuple[Datum, Span]


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who made a weight first."""

    value: Value
    layer: str
    span: Span


class Layers:
    """Adds the nodes of one graph, and knows where every value and weight came from."""

    def __init__(self, builder: GraphBuilder, report: Report, limits: Limits) -> None:
        self.builder = builder
        self.made_at: dict[Value, Span] = {}
        self._report = report
        self._limits = limits
        self._weights: dict[str, _Owner] = {}
        self._ops: dict[tuple[type[Op], tuple[tuple[str, Any], ...]], Op] = {}
        self._checked: set[tuple[int, int]] = set()

    def operator(self, op: type[Op], fields: tuple[tuple[str, Any], ...]) -> Op:
        """The operator with these fields; made once, however often the program repeats it."""
        known = self._ops.get((op, fields))
        if known is None:
            known = self._ops[op, fields] = op(**dict(fields))
        return known

    def apply(
        self, op: Op, operands: Sequence[Value], names: tuple[str, str], span: Span, context: Context
    ) -> tuple[Value, ...]:
        """Add one operation. Raises Mistake where shapes, names or limits forbid it.

        `names` is what the layer is called and what its weights are kept under; they differ where they are shared.
        """
        name, weights_name = names
        if len(self.builder.nodes) >= self._limits.layers:
            self.stop(codes.TOO_MANY_LAYERS, f"more than {self._limits.layers:,} layers", span, "layers", context)
        try:
            signature = self.builder.signature(op, operands)
        except ShapeError as problem:
            raise self._refused(op, problem, operands, span) from None
        self._check(op, signature, operands, span, context)
        weights: list[Value] = []
        first: str | None = None
        for weight in signature.weights:
            owner = self._weight(
                f"{weights_name}.{weight.name}", weight.type.shape, weight.init, weight.trainable, name, span, context
            )
            weights.append(owner.value)
            first = owner.layer if owner.layer != name else None
        outputs = self.builder.node(
            op,
            operands,
            name=name,
            scope=context.address,
            span=span,
            frame=context.frame,
            shared=first,
            weights=weights,
            signature=signature,
        )
        for output in outputs:
            self.made_at[output] = span
        return outputs

    def parameter(self, local: str, shape: tuple[int, ...], init: Init, span: Span, context: Context) -> Value:
        """A weight of its own, declared by `param`; one whose numbers the text lists is a buffer."""
        self.check_elements(shape, "a weight", span)
        name, weights_name = context.layer(local)
        return self._weight(weights_name, shape, init, init.kind != "list", name, span, context).value

    def _weight(
        self, key: str, shape: tuple[int, ...], init: Init, trainable: bool, layer: str, span: Span, context: Context
    ) -> _Owner:
        owner = self._weights.get(key)
        if owner is None:
            value = self.builder.parameter(key, shape, init, trainable=trainable, span=span)
            owner = self._weights[key] = _Owner(value, layer, span)
            self.made_at[value] = span
        elif context.shared is None or key in context.shared:
            raise Mistake(
                codes.WEIGHT_NAME_TWICE,
                f"two layers would keep their weights under the name `{key}`",
                span,
                "this one",
                secondary=(Label(owner.span, "and this one"),),
                help="name one of them: `... as name`",
            )
        elif owner.value.type.shape != shape:
            raise Mistake(
                codes.OPERAND_SHAPE,
                f"the first call of this shared layer made {key} {shape_text(owner.value.type.shape)},"
                f" but this operand needs {shape_text(shape)}",
                span,
            )
        if context.shared is not None:
            context.shared.add(key)
        return owner

    def stop(self, code: Code, what: str, span: Span, limit: str | None, context: Context) -> None:
        """Report a stated limit and end the elaboration. `limit` is the name of the one that may be raised."""
        help = f"if it is meant, raise the limit: `--limit {limit}=...`" if limit else None
        self._report.add(Diagnostic(code, what, Label(span), help=help, frame=context.frame))
        raise LimitMet

    def _check(self, op: Op, signature: Signature, operands: Sequence[Value], span: Span, context: Context) -> None:
        """Limits and warnings; once for each signature and place, since blocks are expanded many times."""
        seen = (id(signature), id(span))
        if seen in self._checked:
            return
        self._checked.add(seen)
        for result in signature.results:
            self.check_elements((max(result.batch, 1), *result.shape), "the result", span)
        for weight in signature.weights:
            self.check_elements(weight.type.shape, f"the {weight.name}", span)
        for code, sentence in op.remarks(tuple([value.type for value in operands])):
            self._report.add(Diagnostic(Code(code), sentence, Label(span), frame=context.frame))

    def check_elements(self, shape: tuple[int, ...], what: str, span: Span) -> None:
        """Refuse a tensor past the limit; counted exactly, allocated never."""
        size = 1
        for extent in shape:
            size *= extent
        if size > self._limits.tensor_elements:
            raise Mistake(
                codes.TENSOR_TOO_LARGE,
                f"{what} has {size:,} elements, past the limit of {self._limits.tensor_elements:,}",
                span,
                help="if it is meant, raise the limit: `--limit tensor_elements=...`",
            )

    def _refused(self, op: Op, problem: ShapeError, operands: Sequence[Value], span: Span) -> Mistake:
        several = len(operands) > 1
        secondary = tuple(
            Label(self.made_at[value], f"this is {shape_text(value.type.shape)}")
            for value in dict.fromkeys(operands)
            if several and value in self.made_at and self.made_at[value] != span
        )
        label = "" if several else f"its operand is {shape_text(operands[0].type.shape)}"
        return Mistake(
            codes.JOIN_SHAPES if several else codes.OPERAND_SHAPE,
            f"`{op.word}`: {problem.message}",
            span,
            label,
            secondary=secondary,
            help=problem.help,
        )


def count_tensors(value: Datum) -> int:
    """How many tensors an operand holds, or fewer where it holds what is none."""
    return sum([count_tensors(item) for item in value]) if isinstance(value, Family | list) else 1


def operands_of(op: Op, given: Sequence[Operand], current: Datum | None, span: Span) -> list[Value] | None:
    """The tensors that an operator works on: those given, families spread out, `it` where one is left out.

    None where one failed before.
    """
    tensors: list[Value] = []
    for value, place in given:
        if _failed(value):
            return None
        tensors += _tensors(value, place, op.word)
    least, most = op.wanted()
    if len(tensors) < least or not given or (op.leads and not _leads(tensors, current)):
        if current is None:
            raise Mistake(
                codes.NO_VALUE, "there is no current tensor yet", span, help="begin with an `input` or with a name"
            )
        if _failed(current):
            return None
        position = op.implicit if given else 0
        tensors[position:position] = _tensors(current, span, op.word)
    if len(tensors) < least or (most is not None and len(tensors) > most):
        wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        raise Mistake(
            codes.BAD_OPERANDS,
            f"`{op.word}` works on {wanted} tensor{'' if wanted == '1' else 's'}, but here {_are(len(tensors))}",
            span,
        )
    return tensors


def operands_by_name(op: type[Op], named: Sequence[tuple[str, Datum, Span]]) -> list[Operand]:
    """The tensors that a step gives by names of the operator's operands, in its order."""
    given: dict[str, Operand] = {}
    for name, value, span in named:
        if name in given:
            raise Mistake(codes.BAD_ARGUMENT, f"`{op.word}` is given `{name}` twice", span)
        given[name] = (value, span)
    return [given[name] for name in op.named if name in given]


def _leads(tensors: Sequence[Value], current: Datum | None) -> bool:
    """Whether what leads is among the tensors given: `it` itself, or any where there are two of real numbers."""
    return tensors[0] is current or sum(tensor.type.dtype.is_float for tensor in tensors) > 1


def _failed(value: Datum) -> bool:
    if isinstance(value, Family | list):
        return any(_failed(item) for item in value)
    return isinstance(value, Poison)


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _tensors(value: Datum, span: Span, word: str) -> list[Value]:
    if isinstance(value, Value):
        return [value]
    if isinstance(value, Family | list):
        return [tensor for item in value for tensor in _tensors(item, span, word)]
    shown = f"`{value.word}` is an operator's word" if isinstance(value, WordRef) else f"{text(value)} is {kind(value)}"
    raise Mistake(
        codes.BAD_OPERANDS,
        f"`{word}` works on tensors, but {shown}",
        span,
        help=f"a layer's own values follow its word without parentheses: `{word} {text(value)}`"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else None,
    )


def spread(value: Datum) -> list[Value] | None:
    """The tensors of a tensor or a family, None where one failed before."""
    if isinstance(value, Value):
        return [value]
    if isinstance(value, Family):
        result: list[Value] = []
        for item in value:
            tensors = spread(item)
            if tensors is None:
                return None
            result += tensors
        return result
    return None
