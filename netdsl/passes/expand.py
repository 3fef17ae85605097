"""Operators that mean several others are written as those: backends know only the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from netdsl.ir.graph import Graph, Node, Value
from netdsl.ir.rewrite import Rewriter
from netdsl.ops.activation import Sqrt
from netdsl.ops.attention import Attend, Attention, features, parts
from netdsl.ops.base import Op
from netdsl.ops.elementwise import Add, Div, Mul, Shift
from netdsl.ops.linear import Fc
from netdsl.ops.pieces import Concat, Slice, Take
from netdsl.ops.recurrent import Gru, Lstm, Recurrence, Recurrent
from netdsl.ops.reduce import Sum
from netdsl.ops.sequence import Position, SineTable
from netdsl.ops.shape import Reshape, Tokens, Transpose
from netdsl.ops.style import ModConv
from netdsl.passes.manager import Remarks


@dataclass(frozen=True)
class Expand:
    """Replaces every operator of `EXPANSIONS` by its parts; the equations stand above them."""

    name: ClassVar[str] = "expand"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph without such operators."""
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            now = rewriter.current(node)
            expansion = EXPANSIONS.get(type(now.op))
            result = expansion(rewriter, now) if expansion else None
            if result is None:
                rewriter.add(now)
            else:
                for old, new in zip(node.outputs, result, strict=True):
                    rewriter.stand_for(old, new)
        return rewriter.finish()


def _attention(rewriter: Rewriter, node: Node) -> tuple[Value, ...]:
    """attention(x) = fc(attend(fc(x))), and attention(x, m) = fc(attend(fc(x), fc(m)))."""
    op = node.op
    assert isinstance(op, Attention)
    sequences, mask = parts(tuple([value.type for value in node.operands]))
    x, *memory = (_sequence(rewriter, node, value) for value in node.operands[: len(sequences)])
    width, inner = features(x.type), features((memory or [x])[0].type)
    weights = list(node.weights)
    out_bias = [weights.pop()] if op.bias else []
    out = weights.pop()
    bias = [weights.pop()] if op.bias else []
    if not memory:
        projected = [_fc(rewriter, node, "in_proj", x, weights + bias)]
    else:
        into = weights if inner != width else [_rows(rewriter, node, weights[0], i * width, width) for i in range(3)]
        both = rewriter.make(Concat(), into[1:], f"{node.name}.kv_proj_weight", node, prelude=True)
        q_bias = [_rows(rewriter, node, value, 0, width) for value in bias]
        kv_bias = [_rows(rewriter, node, value, width, 2 * width) for value in bias]
        projected = [
            _fc(rewriter, node, "q_proj", x, [into[0], *q_bias]),
            _fc(rewriter, node, "kv_proj", memory[0], [both, *kv_bias]),
        ]
    attend = Attend(op.heads, op.causal, op.scaled)
    hidden = node.operands[len(sequences) :] if mask else ()
    y = rewriter.make(attend, (*projected, *hidden), f"{node.name}.attend", node)
    y = _fc(rewriter, node, "out_proj", y, [out, *out_bias])
    shape = node.outputs[0].type.shape
    if len(shape) == 2:
        return (y,)
    turned = rewriter.make(Transpose(), (y,), f"{node.name}.turned", node)
    return (rewriter.make(Reshape(shape), (turned,), f"{node.name}.map", node),)


def _sequence(rewriter: Rewriter, node: Node, value: Value) -> Value:
    """A map as the sequence of its positions."""
    return value if value.type.rank == 2 else rewriter.make(Tokens(), (value,), f"{node.name}.tokens", node)


def _fc(rewriter: Rewriter, node: Node, name: str, x: Value, weights: list[Value]) -> Value:
    """fc(x) with weights that exist."""
    op = Fc(weights[0].type.shape[0], bias=len(weights) > 1)
    result = rewriter.fresh(f"{node.name}.{name}", op.infer((x.type,))[0])
    rewriter.add(replace(node, op=op, inputs=(x, *weights), outputs=(result,), name=result.name))
    return result


def _rows(rewriter: Rewriter, node: Node, weight: Value, start: int, count: int) -> Value:
    """Some rows of a weight."""
    return rewriter.make(Slice(start, start + count), (weight,), f"{weight.name}.rows", node, prelude=True)


def _recurrent(rewriter: Rewriter, node: Node) -> tuple[Value, ...]:
    """lstm(x) = recurrence(fc(x), W_hh, b_hh): the input's part of all steps is one product."""
    op: Recurrent | Any = node.op
    x, *before = node.operands
    weight_ih, weight_hh, bias_ih, bias_hh = node.weights
    entering = _fc(rewriter, node, "input", x, [weight_ih, bias_ih])
    steps = Recurrence(op.word, op.reverse, op.initial)
    y, *after = node.outputs
    if op.word == "lstm":
        cells = after[1] if op.state else rewriter.fresh(f"{node.name}.c", y.type._replace(shape=(op.out,)))
        results: tuple[Value, ...] = (y, cells)
    else:
        results = (y,)
    rewriter.add(replace(node, op=steps, inputs=(entering, weight_hh, bias_hh, *before), outputs=results))
    if op.state:
        last = Take(0 if op.reverse else y.type.shape[0] - 1)
        rewriter.add(replace(node, op=last, inputs=(y,), outputs=(after[0],), name=after[0].name))
    return node.outputs


def _modulated(rewriter: Rewriter, node: Node) -> tuple[Value, ...]:
    """The style goes to the channels before the convolution, and what demodulates to those after it.

    sum over c, k of (s[c] w[o, c, k]) x[c] / d[o], where d[o]**2 = eps + sum over c of s[c]**2 (sum over k of w**2)
    """
    op: ModConv | Any = node.op
    (x, style), (weight,) = node.operands, node.weights
    (y,) = node.outputs

    def make(part: Op, inputs: tuple[Value, ...], name: str, **options: Any) -> Value:
        return rewriter.make(part, inputs, f"{node.name}.{name}", node, **options)

    axes = tuple(range(weight.type.rank))
    filters = make(Transpose((1, 0, *axes[2:])), (weight,), "turned", prelude=True) if op.transposed else weight
    along = (1,) * (x.type.rank - 1)
    spread = make(Reshape((style.type.size, *along)), (style,), "style")
    styled = make(Mul(), (x, spread), "styled", layout=x.type.layout)
    plain = rewriter.fresh(f"{node.name}.conv", y.type) if op.demodulate else y
    layer = op.layer.resolve((x.type,))
    rewriter.add(replace(node, op=layer, inputs=(styled, filters), outputs=(plain,), name=plain.name))
    if op.demodulate:
        squares = make(Mul(), (weight, weight), "squares", prelude=True)
        kernels = make(Sum(axes[2:]), (squares,), "kernels", prelude=True)
        energy = _fc(rewriter, node, "energy", make(Mul(), (style, style), "powers"), [kernels])
        size = make(Sqrt(), (make(Shift(op.eps), (energy,), "raised"),), "size")
        divisor = make(Reshape((op.out, *along)), (size,), "divisor")
        rewriter.add(replace(node, op=Div(), inputs=(plain, divisor)))
    return node.outputs


def _position(rewriter: Rewriter, node: Node) -> tuple[Value, ...] | None:
    """position(x) = x + table; of positions given, nothing is known before."""
    op, x = node.op, node.inputs[0]
    assert isinstance(op, Position)
    if op.features:
        return None
    length, width = x.type.shape
    table = rewriter.make(SineTable(length, width, op.halves), (), f"{node.name}.table", node, prelude=True)
    return (rewriter.make(Add(), (x, table), f"{node.name}.sum", node),)


EXPANSIONS: dict[type[Op], Callable[[Rewriter, Node], tuple[Value, ...] | None]] = {
    Attention: _attention,
    Lstm: _recurrent,
    Gru: _recurrent,
    ModConv: _modulated,
    Position: _position,
}
"""Operators and what writes them as others; it returns the results, or None for a case that backends know."""
WHOLE: frozenset[type[Op]] = frozenset(EXPANSIONS.keys() - {Position})
"""Those of which nothing is left."""
