"""From a graph to sequences: chains, and branches that begin at one tensor and end in one join, by reduction.

Every value is known by the *edge* that makes it: the value that it starts from, and the items on the way. A value
that is read once hands its edge on to its reader. Where all edges into a join start from one value, they are its
branches, and the join is one more item on the way from there; so structures inside structures close from the inside
out. What no structure covers becomes a vertex: a tensor with a name, and readers that mention it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netdsl.ir.graph import InvalidGraph, Node, Value
from netdsl.ops.conv import UpConv
from netdsl.ops.each import Each, Regroup
from netdsl.ops.elementwise import Add
from netdsl.ops.maps import Upsample
from netdsl.ops.pool import Unpool
from netdsl.raising.prepare import Prepared
from netdsl.raising.tree import IT, OWN, As, From, Item, Join, Label, Layer, Net, Rows, Seq, walk

DEPTH = 8
"""Branches inside branches; what lies deeper has names."""
REGION = 200
"""Vertices that a region without a structure may have."""
LONG = 6
"""Layers of a branch which goes to another resolution and back; a shortcut around that many has a name."""


@dataclass(eq=False, slots=True)
class _Edge:
    source: Value
    items: Seq
    depth: int = 0


@dataclass(eq=False, slots=True)
class _Vertex:
    """A value, or all results of a node. `node` joins the edges; None where the one edge ends in the layer itself."""

    place: int
    values: tuple[Value, ...]
    edges: list[_Edge]
    node: Node | None = None


class Reducer:
    """Reduces one graph. `swapped` gathers the sums whose terms stand the other way round in the program."""

    def __init__(self, prepared: Prepared, structured: bool = True) -> None:
        self.prepared = prepared
        self.structured = structured
        self.swapped: list[Node] = []
        self._labels: dict[Value, Label] = {}
        self._next = 0
        self._vertices: dict[Value, _Vertex] = {}
        graph = prepared.graph
        self._uses = Counter(value for operands in prepared.operands.values() for value in operands)
        self._uses.update(graph.outputs)
        self._uses.update(prepared.idle)
        weights = [value for value in prepared.parameters if self._uses[value] and value not in prepared.own]
        self._sources = [*graph.inputs, *weights]
        for place, value in enumerate(self._sources):
            self._vertices[value] = _Vertex(place - len(self._sources), (value,), [])

    def net(self) -> Net:
        """The whole graph as one sequence."""
        for place, node in enumerate(self.prepared.nodes):
            self._add(place, node)
        graph = self.prepared.graph
        wanted = [self._edge(value) for value in (*graph.outputs, *self.prepared.idle)]
        vertices = self._needed(wanted)
        line = _Line(self, graph.inputs[0] if graph.inputs else None, declared=True)
        for vertex in vertices:
            line.vertex(vertex)
        results = line.results(wanted, len(graph.outputs))
        sources = {self.label(value): value for value in self._sources}
        shared: dict[int, Node] = {}
        for node, number in self.prepared.shared.items():
            shared.setdefault(number, node)
        return Net(line.finish(results), results, sources, [shared[number] for number in sorted(shared)])

    def label(self, value: Value | None) -> Label:
        """The label of a value; a new one for None."""
        if value is None or value not in self._labels:
            self._next += 1
            if value is None:
                return self._next - 1
            self._labels[value] = self._next - 1
        return self._labels[value]

    def layer(self, node: Node, operands: Iterable[Label]) -> Layer:
        """A layer of its own or one that is called again."""
        prepared = self.prepared
        return Layer([node], tuple(operands), prepared.shared.get(node), prepared.tied.get(node))

    def _add(self, place: int, node: Node) -> None:
        operands = self.prepared.operands[node]
        edges = [self._edge(value) for value in operands if value not in self.prepared.own]
        several = len(node.outputs) > 1
        if isinstance(node.op, Regroup):
            edge = self._rows(node, edges[0])
        elif len(edges) == 1:
            edge = edges[0]
            edge.items.append(self.layer(node, [OWN if value in self.prepared.own else IT for value in operands]))
        else:
            joined = self._join(node, edges)
            if joined is None:
                self._define(_Vertex(place, node.outputs, edges, node))
                return
            edge = joined
        if several:
            edge.items.append(As(tuple([self.label(value) for value in node.outputs])))
        self._define(_Vertex(place, node.outputs, [edge]))

    def _define(self, vertex: _Vertex) -> None:
        for value in vertex.values:
            self._vertices[value] = vertex

    def _edge(self, value: Value) -> _Edge:
        vertex = self._vertices[value]
        if self._uses[value] == 1 and _is_chain(vertex):
            return vertex.edges[0]
        return _Edge(value, [])

    def _join(self, node: Node, edges: list[_Edge]) -> _Edge | None:
        """The one edge that ends in a join, where its edges, or all that they come from, start from one value."""
        if not self.structured or len(node.outputs) > 1:
            return None
        sources = {edge.source for edge in edges}
        depth = 1 + max(edge.depth for edge in edges)
        plain = len(edges) == len(self.prepared.operands[node])
        if len(sources) == 1 and plain and depth <= DEPTH and not any(_changes_resolution(edge) for edge in edges):
            if any(edge.items for edge in edges):
                return self._close(edges[0].source, len(edges), [self._joined(node, edges)], depth)
            return self._close(edges[0].source, len(edges), [self.layer(node, [IT] * len(edges))], depth - 1)
        region = self._region(edges)
        if region is None or depth > DEPTH:
            return None
        start, vertices, count = region
        line = _Line(self, start)
        for vertex in (*vertices, _Vertex(0, node.outputs, edges, node)):
            line.vertex(vertex)
        return self._close(start, count, line.finish(()), depth)

    def _rows(self, node: Node, edge: _Edge) -> _Edge:
        """The edge that ends in an `each`. Raises InvalidGraph where the body of it cannot be cut out."""
        batch = node.inputs[0].type.batch
        while True:
            for at in range(len(edge.items) - 1, -1, -1):
                item = edge.items[at]
                opening = item.nodes[0] if isinstance(item, Layer) else node
                if isinstance(opening.op, Each) and opening.outputs[0].type.batch == batch:
                    edge.items[at:] = [Rows([node], edge.items[at + 1 :])]
                    return edge
            region = self._region([edge])
            if region is None:
                raise InvalidGraph("what happens to rows is no body of an `each`")
            start, vertices, count = region
            last = self._vertices[start]
            if not vertices and not (self._uses[start] == count and _is_chain(last)):
                # A join that was left as it is: all that it comes from is of the body too.
                wider = self._region(last.edges) if self._uses[start] == count else None
                if wider is None:
                    raise InvalidGraph("what happens to rows is no body of an `each`")
                start, vertices, count = wider[0], [*wider[1], last], wider[2]
            line = _Line(self, start)
            for vertex in vertices:
                line.vertex(vertex)
            line.along(edge, None)
            edge = self._close(start, count, line.finish(()), edge.depth + 1)

    def _joined(self, node: Node, edges: list[_Edge]) -> Item:
        """A join of branches. A sum of two is the same both ways: the longer branch comes first, as in a skip."""
        if type(node.op) is Add and len(edges) == 2:
            first, second = edges
            if _layers(first.items) < _layers(second.items):
                self.swapped.append(node)
                edges = [second, first]
        return Join([node], tuple([edge.items for edge in edges]))

    def _close(self, start: Value, count: int, items: Seq, depth: int) -> _Edge:
        """`count` edges from `start` have become one."""
        self._uses[start] -= count - 1
        vertex = self._vertices[start]
        if self._uses[start] == 1 and _is_chain(vertex):
            edge = vertex.edges[0]
            edge.items.extend(items)
            edge.depth = max(edge.depth, depth)
            return edge
        return _Edge(start, items, depth)

    def _region(self, edges: Sequence[_Edge]) -> tuple[Value, list[_Vertex], int] | None:
        """The nearest value that these edges all come from, the vertices between, and how many edges leave the value.

        None where there is none, or where something between is read from outside. Weights of the net have names anyway.
        """
        weights = self.prepared.parameters
        count = Counter(edge.source for edge in edges if edge.source not in weights)
        inside: list[_Vertex] = []
        while count:
            latest = max((self._vertices[value] for value in count), key=lambda vertex: vertex.place)
            if len(count) == 1 and len(latest.values) == 1:
                (start,) = count
                return start, inside[::-1], count[start]
            if not latest.edges or any(count[value] != self._uses[value] for value in latest.values):
                return None
            if len(inside) == REGION:
                return None
            inside.append(latest)
            for value in latest.values:
                del count[value]
            count.update(edge.source for edge in latest.edges if edge.source not in weights)
        return None

    def _needed(self, edges: Sequence[_Edge]) -> list[_Vertex]:
        """All vertices that edges come from, in order; sources are none."""
        found: set[_Vertex] = set()
        waiting = [edge.source for edge in edges]
        while waiting:
            vertex = self._vertices[waiting.pop()]
            if vertex.edges and vertex not in found:
                found.add(vertex)
                waiting += [edge.source for edge in vertex.edges]
        return sorted(found, key=lambda vertex: vertex.place)


class _Line:
    """Writes vertices one after the other. `it` is the value that the sequence has come to."""

    def __init__(self, reducer: Reducer, start: Value | None, declared: bool = False) -> None:
        self.reducer = reducer
        self.start = self.it = start
        self.items: Seq = []
        self.used: set[Label] = set()
        self.offered: set[As] = set()
        # The same tensor may have another name outside.
        self.start_label = reducer.label(start if declared else None)
        if not declared:
            self.offer(self.start_label)

    def offer(self, label: Label) -> None:
        """A name here, if anything uses it."""
        naming = As((label,))
        self.items.append(naming)
        self.offered.add(naming)

    def name(self, value: Value) -> Label:
        """The label of a value that is mentioned."""
        label = self.start_label if value is self.start else self.reducer.label(value)
        self.used.add(label)
        return label

    def along(self, edge: _Edge, to: Value | None) -> None:
        """Go along an edge, to a value or to what has no name yet."""
        if edge.source is not self.it:
            self.items.append(From(self.name(edge.source)))
        self.items += edge.items
        self.it = to

    def vertex(self, vertex: _Vertex) -> None:
        """What makes a vertex, and a name for it, which stays only if it is used."""
        node = vertex.node
        if node is None:
            self.along(vertex.edges[0], vertex.values[0])
        else:
            self.items.append(self.reducer.layer(node, self.operands(node, vertex.edges)))
            self.it = vertex.values[0]
            if len(vertex.values) > 1:
                self.items.append(As(tuple([self.reducer.label(value) for value in vertex.values])))
        if len(vertex.values) == 1:
            self.offer(self.reducer.label(vertex.values[0]))

    def operands(self, node: Node, edges: Sequence[_Edge]) -> list[Label]:
        """Labels of a join's operands: the last that takes layers to make is `it`, the others are made before."""
        long = [edge for edge in edges if edge.items]
        named: dict[_Edge, Label] = {}
        for edge in long[:-1]:
            named[edge] = self.reducer.label(None)
            self.used.add(named[edge])
            self.along(edge, None)
            self.items.append(As((named[edge],)))
        if long:
            self.along(long[-1], None)
            named[long[-1]] = IT
        for edge in edges:
            if edge not in named:
                named[edge] = IT if edge.source is self.it else self.name(edge.source)
        rest = iter(edges)
        own = self.reducer.prepared.own
        return [OWN if value in own else named[next(rest)] for value in self.reducer.prepared.operands[node]]

    def results(self, edges: Sequence[_Edge], outputs: int) -> tuple[Label, ...]:
        """Labels of the first `outputs` edges; `it` for one that the sequence ends in. Others are made as well."""
        labels: list[Label] = []
        for place, edge in enumerate(edges):
            if not edge.items:
                label = self.reducer.label(edge.source)
                if edge.source is self.it and len(edges) == 1:
                    return (IT,)
                if label in labels:
                    self.along(edge, edge.source)
                    label = self.reducer.label(None)
                    self.items.append(As((label,)))
            else:
                self.along(edge, None)
                if len(edges) == 1:
                    return (IT,)
                label = self.reducer.label(None)
                self.items.append(As((label,)))
            self.used.add(label)
            if place < outputs:
                labels.append(label)
        return tuple(labels)

    def finish(self, results: Sequence[Label]) -> Seq:
        """The items without the names that nothing uses."""
        used = self.used | set(results)
        return [item for item in self.items if item not in self.offered or item.labels[0] in used]


def _is_chain(vertex: _Vertex) -> bool:
    return vertex.node is None and len(vertex.edges) == 1 and len(vertex.values) == 1


def _layers(items: Seq) -> int:
    return sum(isinstance(item, Layer | Join) for item in walk(items))


def _changes_resolution(edge: _Edge) -> bool:
    layers = [item for item in walk(edge.items) if isinstance(item, Layer)]
    return len(layers) >= LONG and any(isinstance(item.nodes[0].op, UpConv | Upsample | Unpool) for item in layers)
