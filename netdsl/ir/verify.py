"""The rules of the IR, checked. What breaks them is a bug of netdsl's own."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.ir.build import Signatures, plain
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, InvalidGraph, Node, Value, operand_count
from netdsl.ir.text import dump, op_text
from netdsl.ops.base import Op, ShapeError, Types
from netdsl.ops.shape import Relayout, Transpose
from netdsl.tensor import Layout, TensorType


def verify(graph: Graph, after: str = "", known: Verified | None = None) -> None:
    """Raise InvalidGraph, with the graph printed, unless all of this holds; `after` names the pass that made it.

    `known` remembers from one graph to the next what was looked at.

    - Every value is defined once, before it is used, and its name is its own; results are defined.
    - The prelude reads parameters and its own values only, and nothing in it depends on the sample.
    - Operators are resolved, have the operands that they want, and infer the types that their results have.
    - The weights of a node have the shapes that its operator implies.
    - The maps that a node reads and makes are stored in one order (see `_one_layout`).
    - A fused body is a graph in its own right: a chain that hands one value on.
    """
    try:
        _Verifier(known or Verified()).graph(graph)
    except InvalidGraph as error:
        by = f"after {after}: " if after else ""
        raise InvalidGraph(f"{by}{error}\n\n{_safe_dump(graph)}") from error


class Verified:
    """Nodes that earlier graphs had, for a pass leaves most as they are, and kinds of nodes, for networks repeat them.

    No rule for a node looks at more than its kind: the operator, and the types of what it reads and makes.
    """

    def __init__(self) -> None:
        self.signatures = Signatures()
        self.nodes: set[Node] = set()
        self.kinds: set[tuple[Op, Types, Types]] = set()


class _Verifier:
    def __init__(self, known: Verified) -> None:
        self.known = known

    def graph(self, graph: Graph) -> None:
        defined: set[Value] = set()
        names: set[str] = set()

        def define(values: Iterable[Value], what: str) -> None:
            for value in values:
                if value in defined:
                    raise InvalidGraph(f"{what} defines %{value.name} a second time")
                if value.name in names:
                    raise InvalidGraph(f"{what} takes the name %{value.name}, which another value has")
                defined.add(value)
                names.add(value.name)

        parameters = tuple(parameter.value for parameter in graph.parameters)
        define(parameters, "a parameter")
        for value in parameters:
            if value.type.batch != 0:
                raise InvalidGraph(f"the weight {value!r} depends on the sample")
        for node in graph.prelude:
            self.node(node, defined)
            define(node.outputs, f"prelude node {node.name}")
        define(graph.inputs, "an input")
        for node in graph.nodes:
            self.node(node, defined)
            define(node.outputs, f"node {node.name}")
        for name, value in graph.results:
            if value not in defined:
                raise InvalidGraph(f"result {name} is %{value.name}, which nothing defines")
        if len({name for name, _ in graph.results}) != len(graph.results):
            raise InvalidGraph("two results have the same name")

    def node(self, node: Node, defined: set[Value]) -> None:
        for value in node.inputs:
            if value not in defined:
                raise InvalidGraph(f"node {node.name} reads %{value.name} before it is defined")
        if node in self.known.nodes:
            return
        kind = (node.op, tuple([value.type for value in node.inputs]), tuple([value.type for value in node.outputs]))
        if kind not in self.known.kinds:
            self.rules(node)
            self.known.kinds.add(kind)
        self.known.nodes.add(node)

    def rules(self, node: Node) -> None:
        types = plain(tuple([value.type for value in node.inputs]))
        count = operand_count(node.op, types)
        operands, weights = types[:count], types[count:]
        try:
            signature = self.known.signatures(node.op, operands)
        except ShapeError as error:
            raise InvalidGraph(f"node {node.name} refuses its operands: {error.message}") from error
        if signature.op != node.op:
            raise InvalidGraph(
                f"node {node.name} is not resolved: {op_text(node.op)} should be {op_text(signature.op)}"
            )
        if weights != tuple([weight.type for weight in signature.weights]):
            wanted = ", ".join(f"{weight.name} {weight.type}" for weight in signature.weights)
            found = ", ".join(map(str, weights))
            raise InvalidGraph(f"node {node.name} needs the weights ({wanted}), but has ({found})")
        if plain(tuple([value.type for value in node.outputs])) != plain(signature.results):
            made = ", ".join(map(str, signature.results))
            raise InvalidGraph(f"node {node.name} makes ({made}), but its results are {node.outputs}")
        if not _one_layout(node, count):
            raise InvalidGraph(f"node {node.name} mixes storage orders")
        if isinstance(node.op, Fused):
            self.body(node.op.body)

    def body(self, body: Graph) -> None:
        self.graph(body)
        if body.prelude or len(body.results) != 1 or len(body.nodes) < 2:
            raise InvalidGraph(f"the fused body {body.name} needs two nodes, one result and no prelude")
        for before, after in zip(body.nodes, body.nodes[1:], strict=False):
            if before.outputs[0] not in after.inputs:
                raise InvalidGraph(f"in the fused body {body.name}, {after.name} does not go on from {before.name}")
        if body.outputs != body.nodes[-1].outputs:
            raise InvalidGraph(f"the result of the fused body {body.name} is not its last value")


def storage(type: TensorType) -> Layout | None:
    """The storage order of a feature map; None where both orders are the same (one channel, one place, or no map)."""
    if type.rank != 3 or type.batch == 0 or type.shape[0] == 1 or type.shape[1] * type.shape[2] == 1:
        return None
    return type.layout


def _one_layout(node: Node, operands: int) -> bool:
    """Whether all maps that a node reads and makes are in one storage order, but for what changes the order.

    `relayout` does by copying; a transpose from `C x H x W` stored channels last to `H x W x C` stored plainly does
    without, for the elements stay where they are.
    """
    before, after = [value.type for value in node.inputs[:operands]], [value.type for value in node.outputs]
    if isinstance(node.op, Relayout):
        return after[0].layout.value == node.op.to
    if isinstance(node.op, Transpose) and storage(before[0]) is Layout.CHANNELS_LAST:
        return node.op.order == (1, 2, 0) and after[0].layout is Layout.CHANNELS_FIRST
    return len({storage(type) for type in (*before, *after)} - {None}) <= 1


def _safe_dump(graph: Graph) -> str:
    try:
        return dump(graph)
    except Exception as error:  # a graph may be too broken to print, which must not hide what is wrong with it
        return f"(the graph cannot be printed: {error!r})"
