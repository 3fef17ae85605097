"""Names: what every value of a graph is called in the generated module, and views as the text of expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netdsl.codegen.names import Names
from netdsl.codegen.numpy.calls import Name
from netdsl.codegen.numpy.storage import Broadcast, View
from netdsl.codegen.prelude import common_prefix
from netdsl.codegen.printing import Bracket, Expression, keywords, lines
from netdsl.codegen.render import literal
from netdsl.ir.graph import Graph, Value

Argument = View | Broadcast | Name | float | None | tuple[View, ...]


@dataclass(frozen=True)
class Export:
    """A weight that the forward pass reads, under a name of its own and maybe packed."""

    name: str
    pack: str
    pack_spec: object


@dataclass(frozen=True)
class Bundle:
    """What a layer reads of its weights, as one tuple."""

    name: str
    views: tuple[View, ...]


class Scope:
    """The namespaces of one module: inputs are parameters of calls, buffers `b.<name>`, weights `w.<name>`.

    While `preparing`, weights are `weights["<key>"]` and what the prelude makes are local variables, unless `renamed`
    says otherwise. What the forward pass reads of them is exported to `w`, packed where its kernel wants that, and
    named after the layer that reads it first (`called`). A component that starts all names (`resnet`) is left out.
    """

    def __init__(self, graph: Graph, reserved: tuple[str, ...]) -> None:
        self._keys = {parameter.value for parameter in graph.parameters}
        self._constants = self._keys | {value for node in graph.prelude for value in node.outputs}
        self._top = Names((*reserved, "self", "weights", "w", "b", "n", "x", "y"))
        self._buffer_names = Names(
            ("n", "size", "team", "scratch", "do", "parts", "each", "forget", "run", "inputs", "results")
        )
        self._export_names = Names()
        self._prefix = common_prefix([value.name for value in self._keys])
        self._known: dict[Value, list[Export]] = {}
        self._bundles: dict[tuple[View, ...], Bundle] = {}
        self.inputs = {value: self._top(value.name) for value in graph.inputs}
        self.called: dict[Value, str] = {}
        self.renamed: dict[Value, str] = {}
        self.packs: dict[str, None] = {}
        self.preparing = False

    def function(self, name: str) -> str:
        """A name at the top of the module that nothing has yet."""
        return self._top.fresh(name)

    def buffer(self, name: str) -> str:
        """The attribute of a workspace that holds an activation."""
        return self._buffer_names(name, self._brief(name))

    def local(self, value: Value) -> str:
        """A weight, or what the prelude makes, inside `prepare`."""
        if value in self._keys:
            return f"weights[{literal(value.name)}]"
        return self._top(value.name, self._brief(value.name))

    def exports(self, value: Value) -> list[Export]:
        """What the forward pass reads of a weight."""
        return self._known.get(value, [])

    def is_plain_weight(self, item: Argument | Broadcast) -> bool:
        """Whether an argument is a weight that the forward pass takes as it was prepared."""
        return isinstance(item, View) and item.value in self._constants and not item.steps

    def bundle(self, layer: str, views: tuple[View, ...]) -> list[str]:
        """Weights of a layer as arguments: a tuple that `prepare` makes, or one name where there is only one."""
        if not views:
            return []
        if len(views) == 1:
            return [self.text(views[0])]
        self.packs.update(dict.fromkeys(view.pack for view in views if view.pack))
        if views not in self._bundles:
            name = self._export_names.fresh(self._brief(layer))
            self._bundles[views] = Bundle(f"w.{name}", views)
        return [f"*{self._bundles[views].name}"]

    def bundled(self, values: Sequence[Value]) -> Bundle | None:
        """The bundle of exactly these values, of which the first alone may be packed; None if they go elsewhere too."""
        found = [bundle for bundle in self._bundles.values() if any(view.value in values for view in bundle.views)]
        if len(found) != 1 or [view.value for view in found[0].views] != list(values) or any(map(self.exports, values)):
            return None
        return None if any(view.pack for view in found[0].views[1:]) else found[0]

    def done(self, bundle: Bundle) -> None:
        """This one is written."""
        del self._bundles[bundle.views]

    def bundles(self) -> tuple[str, ...]:
        """The statements that make the bundles that are left."""
        self.preparing = True
        written = tuple(
            "\n".join(lines(Bracket(f"{b.name} = ", tuple(map(self.argument, b.views)), is_tuple=True), 4)).strip()
            for b in self._bundles.values()
        )
        self.preparing = False
        return written

    def argument(self, argument: Argument) -> Expression:
        """An argument of a call."""
        if isinstance(argument, View | Broadcast):
            return self.text(argument)
        if isinstance(argument, tuple):
            return Bracket("", tuple(map(self.text, argument)), is_tuple=True)
        return argument.text if isinstance(argument, Name) else literal(argument)

    def text(self, view: View | Broadcast) -> str:
        """A view as an expression."""
        if isinstance(view, Broadcast):
            return f"np.broadcast_to({self.text(view.view)}, {self.text(view.like)}.shape)"
        return self._base(view) + "".join(view.steps)

    def _base(self, view: View) -> str:
        value = view.value
        if value not in self._constants:
            return f"b.{self.buffer(value.name)}"
        if view.pack:
            self.packs.setdefault(view.pack)
        if self.preparing:
            local = self.renamed.get(value) or self.local(value)
            return f"{view.pack}({', '.join([local, *keywords(view.pack_spec)])})" if view.pack else local
        for export in self.exports(value):
            if (export.pack, export.pack_spec) == (view.pack, view.pack_spec):
                return export.name
        name = self._export_names.fresh(self._brief(self.called.get(value, value.name)))
        self._known.setdefault(value, []).append(Export(f"w.{name}", view.pack, view.pack_spec))
        return f"w.{name}"

    def _brief(self, name: str) -> str:
        return name.removeprefix(self._prefix)
