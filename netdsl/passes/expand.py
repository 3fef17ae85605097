"""Operators that mean several others are written as those: backends know only the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from netdsl.ir.graph import Graph, Node, Value
from netdsl.ir.rewrite import Rewriter
from netdsl.ops.attention import Attend, Attention, features, parts
from netdsl.ops.base import Op
from netdsl.ops.linear import Fc
from netdsl.ops.shape import Concat, Reshape, Slice, Tokens, Transpose
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
            if expansion is None:
                rewriter.add(now)
            else:
                rewriter.stand_for(node.outputs[0], expansion(rewriter, now))
        return rewriter.finish()


def _attention(rewriter: Rewriter, node: Node) -> Value:
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
        return y
    turned = rewriter.make(Transpose(), (y,), f"{node.name}.turned", node)
    return rewriter.make(Reshape(shape), (turned,), f"{node.name}.map", node)


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


EXPANSIONS: dict[type[Op], Callable[[Rewriter, Node], Value]] = {Attention: _attention}
"""Operators and what writes them as others; it returns the result."""
