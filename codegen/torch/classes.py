"""The text of the classes: modules in `__init__`, one line a layer in `forward`. Equal calls share a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import iskeyword
from textwrap import wrap

from netdsl.codegen.names import Names, comment
from netdsl.codegen.printing import definition
from netdsl.codegen.render import literal
from netdsl.codegen.torch.expressions import AS_IS, LOWERINGS
from netdsl.codegen.torch.layers import holder
from netdsl.codegen.torch.parts import Part, flow, owner, tree
from netdsl.codegen.torch.site import Site
from netdsl.ir.graph import Graph, Node, Parameter, Value
from netdsl.ops.base import Init
from netdsl.ops.linear import Fc
from netdsl.tensor import shape_text

WIDTH = 120
TAKEN = frozenset(
    word
    for line in (
        "add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double",
        "dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule",
        "half ipu items keys load_state_dict modules mtia named_buffers named_children named_modules",
        "named_parameters parameters pop register_backward_hook register_buffer register_forward_hook",
        "register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook",
        "register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module",
        "register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_",
        "set_extra_state set_submodule share_memory state_dict T_destination to to_empty train training type",
        "update values xpu zero_grad",
    )
    for word in line.split()
)
"""Attributes that every module of PyTorch has; a layer of such a name is reached through the list of modules."""


@dataclass(frozen=True, slots=True)
class ClassText:
    """One class: its name, what it is in a sentence, and the lines of its two methods."""

    name: str
    doc: str
    arguments: tuple[str, ...]
    init: tuple[str, ...]
    forward: tuple[str, ...]

    @property
    def head(self) -> str:
        """The first line of `forward`, or lines."""
        return definition("forward", ("self", *self.arguments), 4)


class Classes:
    """Prints the classes of a graph, innermost first. `helpers` are the names of templates that they use.

    `holders` make the modules whose weights others may be tied to, by weight.
    """

    def __init__(self, graph: Graph, reserved: Sequence[str]) -> None:
        self.graph = graph
        self.parameters = {parameter.value: parameter for parameter in graph.parameters}
        found = ((node, holder(node)) for node in graph.nodes)
        self.holders = {node.weights[0]: made for node, made in found if made}
        self.helpers: dict[str, None] = {}
        self.texts: list[ClassText] = []
        self._names = Names(tuple(reserved))
        self._known: dict[tuple[tuple[str, ...], ...], str] = {}
        self.name = self._names.fresh(graph.name)
        self.reserved = (*reserved, "self", "x")
        self.write(tree(graph), graph.inputs, graph.outputs)

    def write(self, part: Part, inputs: Sequence[Value], outputs: Sequence[Value]) -> str:
        """Print the class of a part, unless an equal one is there; return its name."""
        body = _Body(self, part, inputs, outputs)
        key = (body.arguments, tuple(body.init or ["pass"]), tuple(body.forward))
        if key not in self._known:
            word = re.sub(r"\W.*", "", part.call, flags=re.DOTALL)
            camel = "".join(piece[:1].upper() + piece[1:] for piece in word.split("_"))
            name = self._names.fresh(camel) if part.scope else self.name
            self._known[key] = name
            self.texts.append(ClassText(name, _doc(part, inputs, outputs), *key))
        return self._known[key]

    def helper(self, name: str) -> str:
        """Ask for a template."""
        self.helpers[name] = None
        return name


class _Body:
    """One class while it is printed."""

    def __init__(self, classes: Classes, part: Part, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
        self.classes = classes
        self.part = part
        self.init: list[str] = []
        self.forward: list[str] = []
        self._declared: set[tuple[str, ...]] = set()
        self._classes: dict[tuple[str, ...], str] = {}
        self._names = Names(classes.reserved)
        self._texts: dict[Value, str] = {}
        self._own = {value for value in classes.parameters if part.owns(value.name)}
        self._readers = self._find_readers(outputs)
        for value in inputs:
            self._texts[value] = self._named(value, -1, len(inputs) == 1, value.name if not part.scope else "it")
        self.arguments = tuple(self._texts[value] for value in inputs)
        for index, item in enumerate(part.items):
            self._item(item, index)
        results = ", ".join(map(self._text, outputs))
        if self.forward and self.forward[-1].startswith("x = ") and results == "x":
            self.forward[-1] = f"return {self.forward[-1].removeprefix('x = ')}"
        else:
            long = len(results) > WIDTH - 16
            self.forward.append(f"return (\n{_folded(results)},\n)" if long else f"return {results}")
        if not part.scope:
            used = {value for node in part.nodes() for value in node.inputs} | set(outputs)
            for value in (value for value in classes.parameters if value not in used):
                self._parameter(classes.parameters[value])

    def _find_readers(self, outputs: Sequence[Value]) -> dict[Value, set[int]]:
        readers: dict[Value, set[int]] = {value: {len(self.part.items)} for value in outputs}
        for index, item in enumerate(self.part.items):
            for node in item.nodes() if isinstance(item, Part) else (item,):
                for value in node.operands:
                    readers.setdefault(value, set()).add(index)
        return readers

    def _item(self, item: Node | Part, index: int | None) -> None:
        if isinstance(item, Part):
            self._call(item, index)
        else:
            self._layer(item, index)

    def _named(self, value: Value, index: int | None, alone: bool, address: str) -> str:
        """`x` for what only the next item reads; a name of its own for all else."""
        if alone and index is not None and self._readers.get(value, set()) <= {index + 1}:
            return "x"
        return self._names.fresh(address)

    def _text(self, value: Value) -> str:
        if value in self._own and value not in self._texts:
            self._texts[value] = self._parameter(self.classes.parameters[value])
        return self._texts[value]

    def _layer(self, node: Node, index: int | None) -> None:
        op = node.op
        as_is = isinstance(op, AS_IS)
        types = tuple(value.type for value in node.operands)
        results = tuple(value.type for value in node.outputs)
        tied = self.classes.holders.get(node.weights[0]) if isinstance(op, Fc) and not op.bias else None
        site = Site(types, results, lambda text: self._module(owner(node), text), self.classes.helper, tied)
        operands = [self._text(value) + ("" if as_is or value.type.batch else "[None]") for value in node.operands]
        text = LOWERINGS[type(op)](op, site, *operands)
        if not as_is and not results[0].batch:
            text = f"({text})[0]" if len(results) == 1 else f"(y[0] for y in {text})"
        if any(value in self._readers for value in node.outputs):
            self._assign(node.outputs, text, index, node.name)

    def _call(self, part: Part, index: int | None) -> None:
        elsewhere = {value for value, places in self._readers.items() if places - {index}}
        through = flow(part, set(self.classes.parameters), elsewhere)
        *_, last = part.nodes()
        name = self.classes.write(part, through.inputs, through.outputs or last.outputs)
        path = self._path(part.address)
        if self._classes.setdefault(path, name) != name:  # a shared block that other extents make another class
            for item in part.items:
                self._item(item, None)
            return
        module = self._module(part.address, f"{name}()")
        text = f"{module}({', '.join(map(self._text, through.inputs))})"
        self._assign(through.outputs, text, index, part.scope)

    def _assign(self, values: Sequence[Value], text: str, index: int | None, address: str) -> None:
        """One statement, unless nothing reads what it makes. A single result is called as what makes it."""
        names = []
        for value in values:
            inner = _below(self.part.scope, address if len(values) == 1 else value.name)
            self._texts[value] = self._named(value, index, len(values) == 1, inner)
            names.append(self._texts[value])
        if names:
            self.forward.append(_wrapped(f"{', '.join(names)} = {text}"))

    # Modules and parameters by their addresses.

    def _module(self, address: str, text: str) -> str:
        """Declare a module, unless it is declared; how `forward` reaches it."""
        path = self._path(address)
        if path not in self._declared and not any(path[:n] in self._classes for n in range(1, len(path))):
            self._declared.add(path)
            self._contain(path[:-1])
            self.init.append(f"{_stored(path)} = {text}")
        return _reached(path)

    def _parameter(self, parameter: Parameter) -> str:
        path = self._path(parameter.value.name)
        kept = "parameter" if parameter.trainable else "buffer"
        made = f"nn.{kept.title()}({_initial(parameter.init, parameter.value.type.shape)})"
        if path not in self._declared:
            self._declared.add(path)
            self._contain(path[:-1])
            if _plain(path[-1]):
                self.init.append(_wrapped(f"{_reached(path)} = {made}"))
            else:
                self.init.append(f"{_reached(path[:-1])}.register_{kept}({literal(path[-1])}, {made})")
        return _reached(path) if _plain(path[-1]) else f"{_reached(path[:-1])}._{kept}s[{literal(path[-1])}]"

    def _path(self, address: str) -> tuple[str, ...]:
        return tuple(_below(self.part.address, address).split("."))

    def _contain(self, path: tuple[str, ...]) -> None:
        for count in range(1, len(path) + 1):
            if path[:count] not in self._declared:
                self._declared.add(path[:count])
                self.init.append(f"{_stored(path[:count])} = nn.ModuleDict()")


def _below(outer: str, address: str) -> str:
    return address[len(outer) + 1 :] if outer else address


def _plain(word: str) -> bool:
    return word.isascii() and word.isidentifier() and not iskeyword(word) and word not in TAKEN


def _stored(path: tuple[str, ...]) -> str:
    """Where `__init__` puts a module."""
    if path[-1].isdigit() or _plain(path[-1]):
        return _reached(path)
    return f"{_reached(path[:-1])}._modules[{literal(path[-1])}]"


def _reached(path: tuple[str, ...]) -> str:
    """How a method reaches a module."""
    text = "self"
    for word in path:
        if word.isdigit():
            text += f'["{word}"]'
        elif _plain(word):
            text += f".{word}"
        else:
            text += f"._modules[{literal(word)}]"
    return text


def _initial(init: Init, shape: tuple[int, ...]) -> str:
    if init.kind == "list":
        return f"torch.tensor([{', '.join(map(str, init.numbers))}]).reshape({shape})"
    if init.kind == "constant":
        filled = {0.0: f"torch.zeros({shape})", 1.0: f"torch.ones({shape})"}
        return filled.get(init.value, f"torch.full({shape}, {init.value})")
    if init.kind == "normal":
        return f"{init.value} * torch.randn({shape})"
    return f"torch.empty({shape}).uniform_({-init.value}, {init.value})"


def _doc(part: Part, inputs: Sequence[Value], outputs: Sequence[Value]) -> str:
    """What it is called with, and the shapes per sample."""
    before, after = (", ".join(shape_text(value.type.shape) for value in values) for values in (inputs, outputs))
    text = comment(f"{part.call}: {before} -> {after}.").replace("\\", "/").replace('"', "'")
    return "\n    ".join(wrap(text, WIDTH - 12))


def _wrapped(line: str) -> str:
    """A statement as it fits: what is too long is broken inside brackets."""
    if len(line) <= WIDTH - 8:
        return line
    left, right = line.split(" = ", 1)
    if len(left) > WIDTH // 2:
        left = f"(\n{_folded(left)},\n)"
    if right.endswith(")"):
        head, inner = right[:-1].split("(", 1)
        return f"{left} = {head}(\n{_folded(inner)}\n)"
    return f"{left} = (\n{_folded(right)}\n)"


def _folded(text: str) -> str:
    rows = wrap(text, WIDTH - 12, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"    {row}" for row in rows)
