"""Places of maxima belong to one plane: an `unpool` to another would put elements outside of its result."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl import codes
from netdsl.diagnostics import Diagnostic, Label
from netdsl.ir.graph import Graph
from netdsl.ops.pool import Pool, Unpool
from netdsl.tensor import shape_text


def misplaced(graph: Graph) -> Iterator[Diagnostic]:
    """Every `unpool` whose places do not come from a pool over a plane of its result's extents."""
    made_by = {value: node for node in graph.nodes for value in node.outputs}
    for node in graph.nodes:
        if not isinstance(node.op, Unpool) or node.span is None:
            continue
        pool = made_by.get(node.inputs[1])
        if pool is None or not isinstance(pool.op, Pool):
            message = "`unpool` needs the places that a `pool max ... indices` of this net found"
            yield Diagnostic(codes.BAD_OPERANDS, message, Label(node.span), frame=node.frame)
            continue
        plane, result = pool.inputs[0].type.shape[1:], node.op.to
        if plane != result:
            yield Diagnostic(
                codes.OPERAND_SHAPE,
                f"the places belong to a plane of {shape_text(plane)}, but this `unpool` makes {shape_text(result)}",
                Label(node.span),
                (Label(pool.span, f"found in {shape_text(plane)}"),) if pool.span else (),
                help=f"give the extents: `to={shape_text(plane)}`",
                frame=node.frame,
            )
