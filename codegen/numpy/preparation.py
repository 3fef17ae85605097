"""How a module makes the weights that its forward pass reads: groups of layers that are made alike share a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from netdsl.codegen.names import Names, place_of
from netdsl.codegen.numpy.program import Layer, Recipe
from netdsl.codegen.numpy.scope import Scope
from netdsl.codegen.plan import Launch
from netdsl.codegen.prelude import owner, owners_of, short, together, weight_key
from netdsl.codegen.printing import copy, keywords, statement
from netdsl.codegen.render import literal
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.norm import BatchNormScale

Lowered = tuple[Layer, Sequence[Launch]]


@dataclass(frozen=True)
class Group:
    """Nodes of the prelude that hand values to each other.

    taken  the weights that they read.
    made   what they make; `given` is what of that is read elsewhere.
    """

    nodes: Sequence[Node]
    taken: Sequence[Value]
    made: Sequence[Value]
    given: Sequence[Value]

    @property
    def values(self) -> tuple[Value, ...]:
        """All values of the group."""
        return (*self.taken, *self.made)


@dataclass(frozen=True)
class Kind:
    """What groups have in common that differ in names alone: the function, and the launches of the first, by node."""

    recipe: Recipe
    first: Group
    launches: Sequence[Sequence[Launch]]

    def launched(self, group: Group) -> list[Launch]:
        """The launches of another such group."""
        names = {old.name: new.name for old, new in zip(self.first.values, group.values, strict=True)}
        made = []
        for node, launches in zip(group.nodes, self.launches, strict=True):
            place = place_of(node.span)
            for launch in launches:
                reads = tuple([names[name] for name in launch.reads])
                writes = tuple([names[name] for name in launch.writes])
                made.append(Launch(launch.kernel, node.name, reads, writes, launch.type, launch.spec, place))
        return made


class Preparation:
    """The function `prepare` and those that it calls. `layer` lowers one node."""

    def __init__(self, graph: Graph, scope: Scope, reserved: Sequence[str], layer: Callable[[Node], Lowered]) -> None:
        self.launches: list[Launch] = []
        self._graph = graph
        self._scope = scope
        self._reserved = reserved
        self._layer = layer
        self._order = {parameter.value: number for number, parameter in enumerate(graph.parameters)}
        self._read_outside = {value for node in graph.nodes for value in node.inputs} | set(graph.outputs)
        self._recipes: dict[tuple[object, ...], Recipe] = {}
        self._kinds: dict[tuple[object, ...], Kind] = {}
        self._prepared: list[tuple[Group, Layer | Recipe]] = []

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The functions that several layers may share."""
        return tuple(self._recipes.values())

    def lower(self) -> None:
        """Lower the prelude. What of it is exported is known once the rest is lowered."""
        self._scope.preparing = True
        for nodes in together(self._graph.prelude):
            group = self._group(nodes)
            if len(nodes) == 1:
                layer, launches = self._layer(nodes[0])
                self._prepared.append((group, layer))
                self.launches += launches
            else:
                self._prepared.append((group, self._recipe(group)))
        self._scope.preparing = False

    def layers(self) -> tuple[Layer, ...]:
        """The body of `prepare`: each group with the exports of what it makes, then weights that nothing changes."""
        layers = [self._called(group, prepared) for group, prepared in self._prepared]
        plain = (*self._exports(tuple(self._order)), *self._scope.bundles())
        return (*layers, Layer("As in the file, or only in another order.", plain)) if plain else tuple(layers)

    def _group(self, nodes: Sequence[Node]) -> Group:
        made = [value for node in nodes for value in node.outputs]
        read = {value for node in nodes for value in node.inputs}
        taken = sorted(read.intersection(self._order), key=self._order.__getitem__)
        return Group(nodes, taken, made, [value for value in made if value in self._read_outside])

    def _recipe(self, group: Group) -> Recipe:
        """The function for a group of several nodes. It is lowered for the first group of a kind."""
        owners = owners_of(group.taken)
        places = [(owners.index(owner(value)), value.name.rpartition(".")[2]) for value in group.taken]
        number = {value: index for index, value in enumerate(group.values)}
        given = [number[value] for value in group.given]
        links = [(node.op, *[number[value] for value in (*node.inputs, *node.outputs)]) for node in group.nodes]
        alike = (*places, *given, *links, *[value.type for value in number])
        kind = self._kinds.get(alike)
        if kind is None:
            body, launches = self._body(group.nodes, {value: f"v{index}" for value, index in number.items()})
            key = (*body, *places, *given)
            if key not in self._recipes:
                self._recipes[key] = self._written(group, owners, places, body)
            kind = self._kinds[alike] = Kind(self._recipes[key], group, launches)
        self.launches += kind.launched(group)
        return kind.recipe

    def _written(
        self, group: Group, owners: Sequence[str], places: Sequence[tuple[int, str]], body: Sequence[str]
    ) -> Recipe:
        """A function with names that say what it works on; `body` is its text with numbers for names."""
        called = re.findall(r"[A-Za-z_]\w*", " ".join(body))  # tails and windows of this network among them
        names = Names((*self._reserved, "b", "x", "weights", "pack", "packing", *called))
        parts = [names.fresh(short(owner, 1)) for owner in owners]
        named = {value: names.fresh(short(value.name, 2)) for value in group.taken}
        named |= {value: names.fresh(short(value.name, 1)) for value in group.made}
        folds = any(isinstance(node.op, BatchNormScale) for node in group.nodes)
        name = self._scope.function("fold_norm" if folds else "rearrange")
        keys = [weight_key(parts[at], value) for value, (at, _) in zip(group.taken, places, strict=True)]
        read = [f"{named[value]} = weights[{key}]" for value, key in zip(group.taken, keys, strict=True)]
        body, _ = self._body(group.nodes, named)
        first, *others = (named[value] for value in group.given)
        last = f"return {', '.join([f'pack({first}, **packing)', *others])}"
        return Recipe(name, ("weights", *parts, "pack=np.asarray", "**packing"), (*read, *body, last))

    def _body(self, nodes: Sequence[Node], names: dict[Value, str]) -> tuple[list[str], list[Sequence[Launch]]]:
        """The statements of nodes under given names, and the launches of each."""
        self._scope.renamed = names
        lowered = [self._layer(node) for node in nodes]
        self._scope.renamed = {}
        return [line for layer, _ in lowered for line in layer.statements], [launches for _, launches in lowered]

    def _called(self, group: Group, prepared: Layer | Recipe) -> Layer:
        """A group as printed in `prepare`."""
        scope = self._scope
        if isinstance(prepared, Layer):
            return replace(prepared, statements=(*prepared.statements, *self._exports(group.made)))
        owners = [literal(owner) for owner in owners_of(group.taken)]
        bundle = scope.bundled(group.given)
        if bundle is not None:  # all in one line
            packing = [bundle.views[0].pack, *keywords(bundle.views[0].pack_spec)] if bundle.views[0].pack else []
            scope.done(bundle)
            return Layer("", (statement(bundle.name, prepared.name, ["weights", *owners, *packing]),))
        # What is exported as it is made needs no name of its own.
        direct = {v: e[0].name for v in group.given if len(e := scope.exports(v)) == 1 and not e[0].pack}
        target = ", ".join(direct.get(value) or scope.local(value) for value in group.given)
        call = statement(target, prepared.name, ["weights", *owners])
        return Layer("", (call, *self._exports([value for value in group.given if value not in direct])))

    def _exports(self, values: Sequence[Value]) -> tuple[str, ...]:
        """The statements that hand weights to the forward pass."""
        written = []
        for value in values:
            if exports := self._scope.exports(value):
                local = self._scope.local(value)
                for export in exports:
                    if export.pack:
                        written.append(statement(export.name, export.pack, [local, *keywords(export.pack_spec)]))
                    else:
                        written.append(copy(export.name, local))
        return tuple(written)
