"""What is legal but probably not meant, seen on the finished graph."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, Label
from netdsl.ir.graph import Graph, Node, users
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.linear import Fc
from netdsl.ops.noise import Dropout
from netdsl.ops.norm import BatchNorm


def lint(graph: Graph) -> Iterator[Diagnostic]:
    """Warnings on pairs of neighbouring layers; one for each place in the text, however often it is expanded."""
    only_reader = {value: readers[0] for value, readers in users(graph).items() if len(readers) == 1}
    for value in graph.outputs:
        only_reader.pop(value, None)
    for node in graph.nodes:
        reader = only_reader.get(node.outputs[0])
        if reader is None or node.span is None:
            continue
        if isinstance(reader.op, BatchNorm) and isinstance(node.op, Conv | UpConv | Fc) and node.op.bias:
            yield _warning(
                codes.BIAS_BEFORE_NORM,
                f"the bias of this `{node.op.word}` has no effect: the batch norm right after it subtracts the mean",
                node,
                reader,
                "write `nobias`",
            )
            continue
        between = "nothing"
        while reader is not None and isinstance(reader.op, Dropout):
            between = "only dropout"
            reader = only_reader.get(reader.outputs[0])
        if reader is not None and _one_linear_map(node, reader):
            yield _warning(
                codes.LINEAR_AFTER_LINEAR,
                f"`{node.op.word}` and `{reader.op.word}` with {between} between them are one linear layer",
                node,
                reader,
                "put an activation between them",
            )


def _one_linear_map(first: Node, second: Node) -> bool:
    """Whether one layer could do the work of both, without the parameters saying that the pair is a factorisation."""
    if isinstance(first.op, Fc) and isinstance(second.op, Fc):
        return not _is_bottleneck(first, second, axis=-1)
    if isinstance(first.op, Conv) and isinstance(second.op, Conv):
        pointwise = max(first.op.kernel) == 1 or max(second.op.kernel) == 1
        return pointwise and first.op.groups == second.op.groups == 1 and not _is_bottleneck(first, second, axis=0)
    return False


def _is_bottleneck(first: Node, second: Node, axis: int) -> bool:
    before, between = first.inputs[0].type.shape[axis], first.outputs[0].type.shape[axis]
    after = second.outputs[0].type.shape[axis]
    return between < min(before, after)


def _warning(code: Code, message: str, node: Node, reader: Node, help: str) -> Diagnostic:
    assert node.span is not None
    secondary = (Label(reader.span, "followed by this"),) if reader.span else ()
    return Diagnostic(code, message, Label(node.span), secondary, help=help, frame=node.frame)
