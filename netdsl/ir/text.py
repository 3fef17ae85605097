"""The IR as text. `dump(parse_text(dump(graph))) == dump(graph)`; see ARCHITECTURE.md for an example.

    graph tiny(%x: f32[N,3,8,8]) params(
      %c1.weight: f32[4,3,3,3] = uniform 0.4714045207910317
      %b1.running_mean: f32[4] = constant 0.0 buffer
    ) prelude {
      %s: f32[4] = bnscale %b1.weight %b1.running_var
    } {
      %c1: f32[N,4,8,8] = conv{out=4, k=3x3, p=1x1x1x1, nobias} %x %c1.weight  # tiny.net:3:1
      return y=%c1
    }

`N` is the batch; a type without it is the same for every sample. Attributes at their defaults are left out. After the
operands may stand `named` (where the node is not called as its result), `in` (its scope) and `shares`. Comments are not
read back. Parsing raises InvalidGraph.
"""

from __future__ import annotations

import re
from typing import Any

from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, InvalidGraph, Node, Parameter, Value
from netdsl.ops import BY_WORD
from netdsl.ops.base import Attr, AttrKind, Init, Op
from netdsl.tensor import DType, Layout, TensorType


def dump(graph: Graph, *, places: bool = False) -> str:
    """The graph as text, ending in a newline. `places` adds the source place of every step as a comment."""
    return "\n".join(_graph_lines(graph, places)) + "\n"


def parse_text(text: str) -> Graph:
    """The graph that `dump` wrote. Checks the syntax only: `verify` checks the rest."""
    parser = _Parser(text)
    graph = parser.graph()
    if parser.token:
        raise parser.fail("the end")
    return graph


def op_text(op: Op) -> str:
    """An operator with its attributes: `conv{out=4, k=3x3, nobias}`."""
    settings = []
    for item in op.schema():
        value = getattr(op, item.name)
        if item.required or value != item.default:
            settings.append(_setting(item, value))
    return op.word + ("{" + ", ".join(settings) + "}" if settings else "")


def _setting(item: Attr, value: Any) -> str:
    if item.kind is AttrKind.FLAG:
        return item.spelling
    if value is None:
        text = "none"
    elif item.kind in (AttrKind.AXES, AttrKind.EXTENTS, AttrKind.SHAPE):
        text = "x".join(map(str, value)) or "scalar"
    elif item.kind is AttrKind.INTS:
        text = "[" + ",".join(map(str, value)) + "]"
    else:
        text = str(value)
    return f"{item.spelling}={text}"


def _graph_lines(graph: Graph, places: bool) -> list[str]:
    head = f"graph {graph.name}({', '.join(map(repr, graph.inputs))})"
    lines = [head + (" params(" if graph.parameters else "")]
    for parameter in graph.parameters:
        buffer = "" if parameter.trainable else " buffer"
        lines.append(f"  {parameter.value!r} = {_init(parameter.init)}{buffer}")
    if graph.parameters:
        lines.append(")")
    if graph.prelude:
        lines[-1] += " prelude {"
        for node in graph.prelude:
            lines += _node_lines(node, places)
        lines.append("}")
    lines[-1] += " {"
    for node in graph.nodes:
        lines += _node_lines(node, places)
    results = ", ".join(f"{name}=%{value.name}" for name, value in graph.results)
    return [*lines, f"  return {results}".rstrip(), "}"]


def _init(init: Init) -> str:
    if init.kind == "list":
        return f"list [{','.join(map(repr, init.numbers))}]"
    return f"{init.kind} {init.value!r}"


def _node_lines(node: Node, places: bool) -> list[str]:
    results = ", ".join(map(repr, node.outputs))
    text = " ".join([f"  {results} = {op_text(node.op)}", *(f"%{value.name}" for value in node.inputs)])
    if node.name != _implied_name(node.outputs):
        text += f" named {node.name}"
    if node.scope:
        text += f" in {node.scope}"
    if node.shared is not None:
        text += f" shares {node.shared}"
    comment = f"  # {node.span}" if places and node.span else ""
    if not isinstance(node.op, Fused):
        return [text + comment]
    body = _graph_lines(node.op.body, places)
    return [f"{text} {{{comment}", *("    " + line for line in body), "  }"]


def _implied_name(outputs: tuple[Value, ...]) -> str:
    return outputs[0].name if len(outputs) == 1 else outputs[0].name.removesuffix(".0")


_TOKEN = re.compile(
    r"(?:[ \n]|#[^\n]*)*"  # blanks and comments
    r"([a-z]\w*\[[^\]\s]*\](?::last)?"  # a type
    r"|\[[^\]\s]*\]|[(){}=,:]|%?[^\s(){}=,:\[\]]+|\Z)"
)
_TYPE = re.compile(r"(?P<dtype>\w+)\[(?P<batch>N(?:\*(?P<rows>\d+))?)?,?(?P<shape>[\d,]*)\](?P<last>:last)?")
_DTYPES = {dtype.short: dtype for dtype in DType}
_OPS: dict[str, type[Op]] = {**BY_WORD, Fused.word: Fused}


class _Parser:
    """Recursive descent; a method reads what it is named after and leaves `token` at what follows."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.start = self.end = 0
        self.first_on_line = True
        self.token = ""
        self.advance()

    def advance(self) -> str:
        """Step to the next token; returns the one that was current."""
        match = _TOKEN.match(self.text, self.end)
        if match is None:
            raise self.fail("no stray bracket")
        token, self.token = self.token, match[1]
        self.first_on_line = "\n" in self.text[self.end : match.start(1)]
        self.start, self.end = match.span(1)
        return token

    def fail(self, wanted: str) -> InvalidGraph:
        line = self.text.count("\n", 0, self.start) + 1
        return InvalidGraph(f"IR text, line {line}: expected {wanted}, found `{self.token or 'the end'}`")

    def accept(self, token: str) -> bool:
        if self.token == token:
            self.advance()
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.fail(f"`{token}`")

    def word(self, what: str) -> str:
        if not self.token or self.token[0] in "%(){}=,:[":
            raise self.fail(what)
        return self.advance()

    def graph(self) -> Graph:
        self.expect("graph")
        name = self.word("a name")
        values: dict[str, Value] = {}
        self.expect("(")
        inputs = [] if self.token == ")" else self.definitions(values)
        self.expect(")")
        parameters, prelude, nodes, results = [], [], [], []
        if self.accept("params"):
            self.expect("(")
            while not self.accept(")"):
                parameters.append(self.parameter(values))
        if self.accept("prelude"):
            self.expect("{")
            while not self.accept("}"):
                prelude.append(self.node(values))
        self.expect("{")
        while not self.accept("return"):
            nodes.append(self.node(values))
        while not self.accept("}"):
            result = self.word("a result's name")
            self.expect("=")
            results.append((result, self.use(values)))
            self.accept(",")
        return Graph(name, tuple(inputs), tuple(parameters), tuple(nodes), tuple(results), tuple(prelude))

    def definitions(self, values: dict[str, Value]) -> list[Value]:
        defined: list[Value] = []
        while not defined or self.accept(","):
            if self.token[:1] != "%":
                raise self.fail("a value")
            name = self.advance()[1:]
            self.expect(":")
            values[name] = Value(name, self.tensor_type())
            defined.append(values[name])
        return defined

    def use(self, values: dict[str, Value]) -> Value:
        value = values.get(self.token[1:]) if self.token[:1] == "%" else None
        if value is None:
            raise self.fail("a value that is defined above")
        self.advance()
        return value

    def tensor_type(self) -> TensorType:
        match = _TYPE.fullmatch(self.token)
        if match is None or match["dtype"] not in _DTYPES:
            raise self.fail("a type")
        self.advance()
        batch = int(match["rows"] or 1) if match["batch"] else 0
        shape = tuple(int(extent) for extent in match["shape"].split(",") if extent)
        layout = Layout.CHANNELS_LAST if match["last"] else Layout.CHANNELS_FIRST
        return TensorType(shape, _DTYPES[match["dtype"]], batch, layout)

    def parameter(self, values: dict[str, Value]) -> Parameter:
        (value,) = self.definitions(values)
        self.expect("=")
        return Parameter(value, self.init(), trainable=not self.accept("buffer"))

    def init(self) -> Init:
        if not self.accept("list"):
            return Init(self.word("a kind of initialisation"), float(self.word("a number")))
        try:
            numbers = tuple(map(float, self.token.strip("[]").split(",")))
        except ValueError as error:
            raise self.fail("a list of numbers") from error
        self.advance()
        return Init("list", numbers=numbers)

    def node(self, values: dict[str, Value]) -> Node:
        outputs: dict[str, Value] = {}
        self.definitions(outputs)
        self.expect("=")
        kind = _OPS.get(self.token)
        if kind is None:
            raise self.fail("an operator")
        self.advance()
        settings = self.settings(kind) if kind is not Fused and self.accept("{") else {}
        inputs = []
        while self.token[:1] == "%" and not self.first_on_line:
            inputs.append(self.use(values))
        results = tuple(outputs.values())
        name = self.word("a name") if self.accept("named") else _implied_name(results)
        scope = self.word("a scope") if self.accept("in") else ""
        shared = self.word("a name") if self.accept("shares") else None
        if kind is Fused:
            self.expect("{")
            settings["body"] = self.graph()
            self.expect("}")
        values.update(outputs)
        return Node(kind(**settings), tuple(inputs), results, name, scope, shared=shared)

    def settings(self, kind: type[Op]) -> dict[str, Any]:
        """`out=4, k=3x3, nobias}`."""
        attributes = {item.spelling: item for item in kind.schema()}
        settings: dict[str, Any] = {}
        while not self.accept("}"):
            item = attributes.get(self.token)
            if item is None:
                raise self.fail(f"an attribute of {kind.word}")
            self.advance()
            if item.kind is AttrKind.FLAG:
                settings[item.name] = not item.default
            else:
                self.expect("=")
                settings[item.name] = self.value(item)
            self.accept(",")
        return settings

    def value(self, item: Attr) -> Any:
        text = self.advance()
        try:
            if text == "none":
                return None
            if item.kind in (AttrKind.AXES, AttrKind.EXTENTS, AttrKind.SHAPE):
                return tuple(map(int, text.split("x"))) if text != "scalar" else ()
            if item.kind is AttrKind.INTS:
                return tuple(int(number) for number in text.strip("[]").split(",") if number)
            if item.kind is AttrKind.WORD:
                return text
            return float(text) if re.search("[.einf]", text) else int(text)
        except ValueError as error:
            raise self.fail(f"{item.kind.value} for {item.name} instead of `{text}`") from error
