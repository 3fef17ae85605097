"""How a module makes the weights that its kernels read: layers whose weights are made alike share a function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from netdsl.codegen.names import Names
from netdsl.codegen.prelude import owner, owners_of, short, together, weight_key
from netdsl.codegen.printing import Bracket
from netdsl.codegen.printing import lines as broken
from netdsl.codegen.render import literal
from netdsl.codegen.triton.expressions import constant_expression
from netdsl.codegen.triton.planner import ONE, Packed
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.norm import BatchNormScale

WIDTH = 112
"""Characters of a line of the network's functions, without their indentation."""
OWN = ("cast", "eights", "matrix", "p", "row_scales", "sine_table", "torch", "w")
"""What the functions call or hold themselves."""
TIGHT = ("cast(", "eights(", "matrix(", "row_scales(", ONE)
"""How expressions begin that make tensors without gaps."""


@dataclass(frozen=True)
class Recipe:
    """A function that makes weights from weights `p`; its parameters are names of layers."""

    name: str
    parameters: tuple[str, ...]
    body: tuple[str, ...]


class Preparation:
    """The statements of `prepare`, and the functions that they call."""

    def __init__(self, graph: Graph, packs: Mapping[Packed, str], top: Names) -> None:
        self._graph = graph
        self._packs = packs
        self._top = top
        self._locals = Names(OWN)
        self._texts = {parameter.value: f"p[{literal(parameter.value.name)}]" for parameter in graph.parameters}
        self._order = {parameter.value: number for number, parameter in enumerate(graph.parameters)}
        self._place = {pack: number for number, pack in enumerate(packs)}
        self._packs_of: dict[Value, list[Packed]] = {}
        for pack in packs:
            self._packs_of.setdefault(pack.value, []).append(pack)
        self._recipes: dict[tuple[tuple[str, ...], tuple[str, ...]], Recipe] = {}
        self._kinds: dict[tuple[object, ...], Recipe] = {}

    def run(self, at_load: Sequence[Node]) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
        """The functions, and the statements: what is made of several weights, then those that are only packed."""
        lines: list[str] = []
        for group in together(at_load):
            if len(group) == 1:
                (node,) = group
                (value,) = node.outputs
                text = _expression(node, self._texts)
                self._texts[value] = self._locals(value.name)
                lines += _assigned(self._texts[value], text) + self._packed(node.outputs)
            else:
                lines += self._call(group)
        lines += self._packed(tuple(self._order))
        lines += self._packed([pack.value for pack in self._packs if pack.form == ONE])
        return tuple(self._recipes.values()), tuple(lines)

    def _packed(self, values: Sequence[Value]) -> list[str]:
        """Values as the kernels read them."""
        return [
            line
            for pack in self._packs_in(values)
            for line in _assigned(f"w.{self._packs[pack]}", _form(pack, self._texts))
        ]

    def _packs_in(self, values: Iterable[Value]) -> list[Packed]:
        """The forms in which kernels read these values, in the order in which they were first read."""
        found = [pack for value in values for pack in self._packs_of.get(value, ())]
        return sorted(found, key=self._place.__getitem__)

    def _call(self, group: Sequence[Node]) -> list[str]:
        """A group of nodes as the call of a function, which all groups like it share."""
        made = [value for node in group for value in node.outputs]
        read = {value for node in group for value in node.inputs}
        taken = sorted(read.intersection(self._order), key=self._order.__getitem__)
        layers = owners_of(taken)
        packs = self._packs_in(made)
        number = {value: index for index, value in enumerate((*taken, *made))}
        kind = (
            *[(layers.index(owner(value)), value.name.rpartition(".")[2]) for value in taken],
            *[value.type for value in number],
            *[(node.op, *[number[value] for value in (*node.inputs, *node.outputs)]) for node in group],
            *[(number[pack.value], pack.form) for pack in packs],
            *[short(name, 1) for name in (*layers, *(value.name for value in made))],
        )
        if kind not in self._kinds:
            self._kinds[kind] = self._recipe(group, taken, packs)
        targets = [f"w.{self._packs[pack]}" for pack in packs]
        return _unpacked(targets, self._kinds[kind].name, ("p", *map(literal, layers)))

    def _recipe(self, group: Sequence[Node], taken: Sequence[Value], packs: Sequence[Packed]) -> Recipe:
        """The function for a group; groups of several kinds may have the same."""
        names = Names(OWN)
        parts = {layer: names.fresh(short(layer, 1)) for layer in owners_of(taken)}
        texts = {value: f"p[{weight_key(parts[owner(value)], value)}]" for value in taken}
        body: list[str] = []
        for node in group:
            (value,) = node.outputs
            text = _expression(node, texts)
            texts[value] = names.fresh(short(value.name, 1))
            body += _assigned(texts[value], text)
        results = [_form(pack, texts) for pack in packs]
        plain = f"return {', '.join(results)}"
        body += [plain] if len(plain) <= WIDTH else _lines(Bracket("return ", tuple(results), is_tuple=True))
        recipe = (tuple(parts.values()), tuple(body))
        if recipe not in self._recipes:
            folds = any(isinstance(node.op, BatchNormScale) for node in group)
            self._recipes[recipe] = Recipe(self._top.fresh("fold_norm" if folds else "rearrange"), *recipe)
        return self._recipes[recipe]


def _expression(node: Node, texts: Mapping[Value, str]) -> str:
    text = constant_expression(node.op, [texts[value] for value in node.inputs])
    assert text is not None
    return text


def _form(pack: Packed, texts: Mapping[Value, str]) -> str:
    """A weight as a kernel reads it, without gaps."""
    form = pack.form.format(texts.get(pack.value))
    return form if form.startswith(TIGHT) else f"{form}.contiguous()"


def _unpacked(targets: Sequence[str], function: str, arguments: Sequence[str]) -> list[str]:
    """`a, b = function(arguments)`."""
    head = f"{', '.join(targets)} = {function}"
    if len(head) < WIDTH:
        return _lines(Bracket(head, tuple(arguments)))
    return [*_lines(Bracket("", tuple(targets), is_tuple=True), f" = {function}({', '.join(arguments)})")]


def _lines(expression: Bracket, after: str = "") -> list[str]:
    """The lines of a statement in the body of a function, without the indentation that all of them have."""
    return [line[4:] for line in broken(expression, 4, after)]


def _assigned(target: str, form: str) -> list[str]:
    """`target = form`, the form on a line of its own where it is long."""
    whole = f"{target} = {form}"
    return [whole] if len(whole) <= WIDTH else [f"{target} = (", f"    {form}", ")"]
