"""The summary of a network: one row a layer, or a block where blocks are folded, and the totals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from netdsl.analysis.cost import LayerCost, Totals, layer_costs, totals
from netdsl.analysis.receptive_field import Field, receptive_fields
from netdsl.analysis.shorthand import attributes, shorthand
from netdsl.diagnostics import Frame
from netdsl.ir.graph import Graph, Node, Value
from netdsl.source import Span
from netdsl.tensor import DType

SCHEMA_VERSION = 1
BLOCK = "block"
"""What stands as the operator of a folded block."""


class Row(NamedTuple):
    """One layer. Shapes are per sample; costs are for the whole batch.

    rows   results for each sample: more than one inside `each`; the output shape is that of one.
    text   the operator with its attributes as a `.net` text has them, or the call of a folded block.
    shares name of the layer whose weights this one uses again.
    """

    name: str
    op: str
    text: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    rows: int
    params: int
    buffers: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    field: Field | None
    origin: str
    shares: str | None
    span: Span | None


class Kind(NamedTuple):
    """All layers of one operator together."""

    op: str
    layers: int
    params: int
    macs: int
    flops: int


class Summary(NamedTuple):
    """What `netdsl summary` shows. `rows` may be folded; `totals` and `kinds` always count every layer."""

    net: str
    file: str
    batch: int
    dtype: DType
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    rows: tuple[Row, ...]
    totals: Totals
    kinds: tuple[Kind, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of `summary --format json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "net": self.net,
            "file": self.file,
            "batch": self.batch,
            "dtype": self.dtype.label,
            "inputs": [{"name": name, "shape": list(shape)} for name, shape in self.inputs],
            "outputs": [{"name": name, "shape": list(shape)} for name, shape in self.outputs],
            "totals": self.totals._asdict(),
            "by_operator": [kind._asdict() for kind in self.kinds],
            "layers": [_row_dict(row) for row in self.rows],
        }


def summarise(graph: Graph, batch: int = 1, dtype: DType = DType.FLOAT32, depth: int | None = None) -> Summary:
    """Count a graph for a batch. With `depth`, block calls nested deeper than that become one row each.

    A call that holds the whole net does not count as a level.
    """
    costs = layer_costs(graph, dtype, batch)
    fields, _ = receptive_fields(graph)
    if depth is None:
        rows = [_layer(cost, fields) for cost in costs]
    else:
        rows = [_folded(group, fields) for group in _groups(costs, depth)]
    return Summary(
        net=graph.name,
        file=graph.span.source.name if graph.span else "",
        batch=batch,
        dtype=dtype,
        inputs=tuple((value.name, value.type.shape) for value in graph.inputs),
        outputs=tuple((name, value.type.shape) for name, value in graph.results),
        rows=tuple(rows),
        totals=totals(graph, costs, dtype, batch),
        kinds=_kinds(costs),
    )


def _layer(cost: LayerCost, fields: dict[Value, Field | None]) -> Row:
    node = cost.node
    operands = node.operands
    return Row(
        name=node.name,
        op=node.op.word,
        text=shorthand(node.op, tuple([value.type for value in operands])),
        attributes=attributes(node.op),
        inputs=tuple([value.name for value in operands]),
        input_shapes=tuple([value.type.shape for value in operands]),
        output_shape=node.outputs[0].type.shape,
        rows=max(node.outputs[0].type.batch, 1),
        params=cost.params,
        buffers=cost.buffers,
        macs=cost.macs,
        flops=cost.flops,
        weight_bytes=cost.weight_bytes,
        activation_bytes=cost.activation_bytes,
        field=fields.get(node.outputs[0]),
        origin=node.scope,
        shares=node.shared,
        span=node.span,
    )


class _Group(NamedTuple):
    """Layers that one row stands for: `scope` and `frame` are the folded call's, None for a layer by itself."""

    scope: str | None
    frame: Frame | None
    costs: list[LayerCost]


def _groups(costs: Sequence[LayerCost], depth: int) -> list[_Group]:
    """Neighbouring layers of one call at this depth, together."""
    paths = [_calls(cost.node.scope) for cost in costs]
    outer = _common(paths)
    groups: list[_Group] = []
    for cost, path in zip(costs, paths, strict=True):
        level = outer + depth
        if len(path) < level or level == 0:
            groups.append(_Group(None, None, [cost]))
            continue
        scope = ".".join(path[:level])
        frame = _frame(cost.node, level)
        last = groups[-1] if groups else None
        if last and last.scope == scope and last.frame is frame:
            last.costs.append(cost)
        else:
            groups.append(_Group(scope, frame, [cost]))
    return groups


def _calls(scope: str) -> list[str]:
    """The calls of a scope, with the indices of the loops around each: `a.unit2.3.1` has `a` and `unit2.3.1`."""
    calls: list[str] = []
    for part in scope.split(".") if scope else ():
        if calls and part.lstrip("-").isdigit():
            calls[-1] += f".{part}"
        else:
            calls.append(part)
    return calls


def _common(paths: Sequence[list[str]]) -> int:
    """How many outermost calls hold every layer."""
    if not paths:
        return 0
    first, last = min(paths), max(paths)
    count = 0
    while count < min(len(first), len(last)) and first[count] == last[count]:
        count += 1
    return count


def _frame(node: Node, level: int) -> Frame | None:
    """The call at this level; the outermost frame is the net itself."""
    chain = node.frame.chain()[::-1] if node.frame else ()
    return chain[level] if level < len(chain) else None


def _folded(group: _Group, fields: dict[Value, Field | None]) -> Row:
    if group.scope is None:
        return _layer(group.costs[0], fields)
    nodes = [cost.node for cost in group.costs]
    made = {value for node in nodes for value in node.outputs}
    taken = dict.fromkeys(value for node in nodes for value in node.operands if value not in made)
    call = group.frame.call if group.frame else group.scope
    weighted = [node.shared for node in nodes if node.weights]
    first_call = weighted[0].rpartition(".")[0] if weighted and weighted[0] and None not in weighted else None
    result = nodes[-1].outputs[0]
    return Row(
        name=group.scope,
        op=BLOCK,
        text=call,
        attributes={"call": call, "layers": len(nodes)},
        inputs=tuple(value.name for value in taken),
        input_shapes=tuple(value.type.shape for value in taken),
        output_shape=result.type.shape,
        rows=max(result.type.batch, 1),
        params=sum(cost.params for cost in group.costs),
        buffers=sum(cost.buffers for cost in group.costs),
        macs=sum(cost.macs for cost in group.costs),
        flops=sum(cost.flops for cost in group.costs),
        weight_bytes=sum(cost.weight_bytes for cost in group.costs),
        activation_bytes=sum(cost.activation_bytes for cost in group.costs),
        field=fields.get(result),
        origin=_outer(group.scope),
        shares=first_call,
        span=group.frame.span if group.frame else nodes[0].span,
    )


def _outer(scope: str) -> str:
    return ".".join(_calls(scope)[:-1])


def _kinds(costs: Iterable[LayerCost]) -> tuple[Kind, ...]:
    """By operator, most multiply-accumulates first, then most operations, then in order of appearance."""
    kinds: dict[str, Kind] = {}
    for cost in costs:
        word = cost.node.op.word
        kind = kinds.get(word) or Kind(word, 0, 0, 0, 0)
        kinds[word] = Kind(
            word, kind.layers + 1, kind.params + cost.params, kind.macs + cost.macs, kind.flops + cost.flops
        )
    return tuple(sorted(kinds.values(), key=lambda kind: (-kind.macs, -kind.flops)))


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "op": row.op,
        "attributes": row.attributes,
        "inputs": list(row.inputs),
        "input_shapes": [list(shape) for shape in row.input_shapes],
        "output_shape": list(row.output_shape),
        "rows": row.rows,
        "params": row.params,
        "buffers": row.buffers,
        "macs": row.macs,
        "flops": row.flops,
        "weight_bytes": row.weight_bytes,
        "activation_bytes": row.activation_bytes,
        "receptive_field": row.field.size if row.field else None,
        "stride": row.field.stride if row.field else None,
        "origin": row.origin,
        "shares": row.shares,
        "span": {"file": row.span.source.name, "line": row.span.line, "column": row.span.column} if row.span else None,
    }
