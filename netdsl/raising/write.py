"""Sequences as text. Line breaks are chosen here; the formatter does the rest of the layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netdsl.ir.graph import Parameter
from netdsl.ops.base import Attr, AttrKind
from netdsl.ops.elementwise import Add
from netdsl.raising.naming import Names, identifier, name_blocks
from netdsl.raising.prepare import Prepared
from netdsl.raising.spelling import spelling
from netdsl.raising.tree import IT, OWN, As, Block, Call, From, Item, Join, Label, Layer, Loop, Net, Rows, Seq, inner
from netdsl.raising.values import Numbers, attributes, choose, text
from netdsl.tensor import DType, shape_text

WIDTH = 80
"""Columns of a line that is filled up; the formatter's limit is larger."""
EVEN = 120
"""Percent of the mean length of a chain's lines that one line may have."""
SHORT = 64
"""Columns of a block that stands on one line."""
_DTYPES = {DType.INT64: "int ", DType.BOOL: "bool "}
_GLUED = "ksdpg"

Lines = list[str]


def write(prepared: Prepared, net: Net, blocks: Sequence[Block], name: str) -> str:
    """The text of a program: its blocks, callees first, and the net."""
    words = name_blocks(blocks)
    writer = _Writer(prepared, net, words)
    parts = [writer.block(words[block], block) for block in blocks]
    parts.append(writer.net(identifier(name, "Net")))
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


@dataclass(eq=False, slots=True)
class _Group:
    """Links that stay on one line, or an item of several. `waits` for the link after a tensor's name."""

    lines: Lines
    begins: bool = False
    ends: bool = False
    waits: bool = False


class _Writer:
    def __init__(self, prepared: Prepared, net: Net, words: dict[Block, str]) -> None:
        self.prepared = prepared
        self.tree = net
        self.words = words
        self.known: dict[Block, Numbers] = {}
        self.names = Names(words.values())
        self.labels: dict[Label, str] = {}
        self.shared: list[str] = []
        self.numbers = Numbers()
        self.own_names: dict[tuple[int, int], str] = {}

    # Definitions.

    def block(self, word: str, block: Block) -> Lines:
        """A block's definition."""
        self.names = Names(self.words.values())
        self.name_tensors(block.body)
        self.numbers = self.known[block] = choose(block.body, self.known, self.labels.values())
        given = [variable.name for variable in self.numbers.parameters]
        lines = self.seq(block.body)
        head = f"block {word}({', '.join(given)})" if given else f"block {word}"
        if len(lines) == 1 and len(head) + len(lines[0]) + 5 <= WIDTH:
            return [f"{head} {{ {lines[0]} }}"]
        return [f"{head} {{", *_indented(lines), "}"]

    def net(self, name: str) -> Lines:
        """The net's definition."""
        graph, net = self.prepared.graph, self.tree
        self.names = Names(self.words.values())
        lines: Lines = []
        for label, value in net.sources.items():
            parameter = self.prepared.parameters.get(value)
            if parameter is None:
                self.labels[label] = self.names.give(value.name, "image" if value.type.rank == 3 else "input_")
                dtype = _DTYPES.get(value.type.dtype, "")
                lines.append(f"input {self.labels[label]}: {dtype}{shape_text(value.type.shape)}")
            else:
                self.labels[label] = self.names.give(value.name.rpartition(".")[2], "weight")
                init = _init(parameter)
                lines.append(f"param {self.labels[label]}: {shape_text(value.type.shape)} = {init}")
        for node in net.shared:
            self.shared.append(self.names.give(node.name.rpartition(".")[2], f"shared_{spelling(node).op.word}"))
        results = dict(zip(net.results, (name for name, _ in graph.results), strict=True))
        for label, result in results.items():
            if label != IT and label not in self.labels:
                self.labels[label] = self.names.give(result, "result")
        self.name_tensors(net.body)
        self.numbers = choose(net.body, self.known, [*self.labels.values(), *self.shared])
        for word, node in zip(self.shared, net.shared, strict=True):
            lines.append(f"share {word} = {self.operator(Layer([node], (IT,)), literal=True)}")
        body = self.seq(net.body)
        if net.results == (IT,):
            result = graph.results[0][0]
            if result != "output" and self.names.readable(result) and body:
                self.end(body, self.names.give(result, "result"))
        else:
            body.append("output " + ", ".join(self.labels[label] for label in net.results))
        return [f"net {name} {{", *_indented([*lines, "", *body]), "}"]

    def end(self, body: Lines, name: str) -> None:
        """Name the last step, which names the result."""
        if isinstance(self.tree.body[-1], Layer | Join | Call):
            body[-1] += f" as {name}"

    def name_tensors(self, seq: Seq) -> None:
        """A name for each label that a body sets; two labels in one place are one name."""
        before: Item | None = None
        for item in seq:
            if isinstance(item, As):
                made = item.labels if not isinstance(before, As) else before.labels
                if made[0] not in self.labels and item.labels[0] in self.labels:
                    self.labels[made[0]] = self.labels[item.labels[0]]
                for place, label in enumerate(made):
                    if label not in self.labels:
                        self.labels[label] = self.names.give(_called(before, place), "")
                if isinstance(before, As):
                    self.labels[item.labels[0]] = self.labels[made[0]]
            for part in inner(item):
                self.name_tensors(part)
            before = item

    # Sequences.

    def seq(self, seq: Seq) -> Lines:
        """The lines of a sequence. Layers stand side by side as far as a line goes."""
        lines: Lines = []
        chain: Lines = []
        for group in self.groups(seq):
            single = len(group.lines) == 1
            if group.begins or not single:
                lines += _filled(chain)
                chain = []
            if single:
                chain += group.lines
            else:
                lines += group.lines
            if group.ends:
                lines += _filled(chain)
                chain = []
        return [*lines, *_filled(chain)] or ["it"]

    def groups(self, seq: Seq) -> list[_Group]:
        """A sequence in groups: a layer with weights and what follows it, or one item of several lines."""
        groups: list[_Group] = []
        before: Item | None = None
        for item in seq:
            match item:
                case As() if isinstance(before, As):
                    continue
                case As():
                    if not groups or groups[-1].ends:
                        groups.append(_Group(["it"], begins=True))
                    names = ", ".join(self.labels[label] for label in item.labels)
                    groups[-1].lines[-1] += f" as {names}"
                    before = item
                    continue
                case From():
                    groups.append(_Group([self.labels[item.label]], begins=True, waits=True))
                    before = item
                    continue
                case Layer():
                    groups += [_Group([line], begins=True, ends=True) for line in self.own(item)]
            before = item
            lines = self.item(item)
            last = groups[-1] if groups else None
            if last and last.waits:
                last.lines[-1:] = [f"{last.lines[-1]} -> {lines[0]}", *lines[1:]]
                last.waits = False
            elif last and len(lines) == 1 == len(last.lines) and not last.ends and not _is_heavy(item):
                last.lines[0] += f" -> {lines[0]}"
            else:
                apart = isinstance(item, Loop)
                groups.append(_Group(lines, begins=apart, ends=apart))
        return groups

    def item(self, item: Item) -> Lines:
        """One item."""
        match item:
            case Layer():
                return [self.operator(item)]
            case Call():
                return [self.call(item)]
            case Loop():
                return _block(self.loop_head(item), self.seq(item.body))
            case Join():
                return self.join(item)
            case Rows():
                return _block("each", self.seq(item.body))
            case _:
                raise AssertionError(item)

    def join(self, item: Join) -> Lines:
        """Branches, or a skip."""
        node = item.nodes[0]
        branches = [self.seq(branch) for branch in item.branches]
        shapes = {value.type.shape for value in node.inputs}
        if type(node.op) is Add and len(branches) == 2 and len(shapes) == 1 and item.branches[0]:
            lines = _block("skip", branches[0])
            if not item.branches[1]:
                return lines
            via = _block("via", branches[1])
            if len(lines) == 1 == len(via) and len(lines[0]) + len(via[0]) < WIDTH:
                return [f"{lines[0]} {via[0]}"]
            if len(lines) == 1:
                lines = ["skip {", *_indented(branches[0]), "}"]
            return [*lines[:-1], f"{lines[-1]} {via[0]}", *via[1:]]
        head = self.operator(item)
        whole = f"{head} {{ {' '.join('| ' + '; '.join(branch) for branch in branches)} }}"
        if len(whole) <= SHORT and all(len(branch) == 1 for branch in branches):
            return [whole]
        inside = [line for branch in branches for line in (f"| {branch[0]}", *_indented(branch[1:]))]
        return [f"{head} {{", *_indented(inside), "}"]

    def own(self, item: Layer) -> Lines:
        """Declarations of the weights that a layer reads and no other."""
        lines = []
        for at, label in enumerate(item.operands):
            if label == OWN:
                value = item.nodes[0].inputs[at]
                parameter = self.prepared.parameters[value]
                name = self.names.give(value.name.rpartition(".")[2], "weight")
                self.own_names[id(item), at] = name
                extents = [self.numbers.texts[id(item), f"own{at}.{axis}"] for axis in range(value.type.rank)]
                shape = "x".join(extents) if all(one.isdigit() for one in extents) else " x ".join(extents)
                lines.append(f"param {name}: {shape} = {_init(parameter)}")
        return lines

    # Links.

    def operator(self, item: Layer | Join, literal: bool = False) -> str:
        """A step: `conv 4*width k3 s=stride nobias`."""
        node = item.nodes[0]
        spelled = spelling(node)
        needed = attributes(item.nodes)
        settings = dict(spelled.settings)
        parts = [self.word(item, spelled.op.word, literal)]
        if literal is False and isinstance(item, Layer) and item.shared is not None:
            return parts[0]
        tied = item.tied if isinstance(item, Layer) else None
        if tied is not None:
            settings.pop("bias")
        # Before branches, nothing stands without its name.
        bare = isinstance(item, Layer)
        for attr in sorted(spelled.op.schema(), key=lambda attr: not attr.positional):
            if attr.name in settings:
                parts.append(_setting(attr, settings[attr.name], bare))
            elif attr.name == "same" and attr.name in needed:
                parts.append(attr.name)
            elif attr.name in needed:
                said = text(spelled.values[attr.name]) if literal else self.numbers.texts[id(item), attr.name]
                bare = bare and attr.positional and said[0] not in "([-"
                parts.append(_attribute(attr, said, bare, spelled.values[attr.name]))
            elif attr.positional:
                bare = False
        return " ".join([*parts, *([f"tied={self.shared[tied]}"] if tied is not None else [])])

    def word(self, item: Layer | Join, word: str, literal: bool) -> str:
        """The word and the tensors in parentheses."""
        if literal or isinstance(item, Join):
            return word
        if item.shared is not None:
            word = self.shared[item.shared]
        if not item.operands or item.operands == (IT,):
            return word
        named = [
            "it" if label == IT else self.own_names[id(item), at] if label == OWN else self.labels[label]
            for at, label in enumerate(item.operands)
        ]
        return f"{word}({', '.join(named)})"

    def call(self, item: Call) -> str:
        """A call of a block."""
        given = [self.numbers.texts[id(item), one.name] for one in self.known[item.block].parameters]
        return f"{self.words[item.block]}({', '.join(given)})" if given else self.words[item.block]

    def loop_head(self, item: Loop) -> str:
        """`repeat 3`, `for depth, width in zip([2, 3], [64, 128])`."""
        variables = self.numbers.loops.get(item)
        if not variables:
            return f"repeat {self.numbers.texts[id(item), 'count']}"
        lists = [self.numbers.texts[id(item), f"list{place}"] for place in range(len(variables))]
        values = lists[0] if len(lists) == 1 else f"zip({', '.join(lists)})"
        return f"for {', '.join(variable.name for variable in variables)} in {values}"


def _filled(groups: Lines) -> Lines:
    """Links of a chain on as few lines as they need, about equally long."""
    total = sum(map(len, groups)) + 4 * (len(groups) - 1)
    if not groups:
        return []
    room = min(WIDTH, total if total <= WIDTH else EVEN * total // -(-total // WIDTH) // 100)
    lines = [groups[0]]
    for group in groups[1:]:
        if len(lines[-1]) + 4 + len(group) <= room:
            lines[-1] += f" -> {group}"
        else:
            lines.append(group)
    return lines


def _called(item: Item | None, place: int) -> str:
    """What the graph calls a result of an item."""
    if isinstance(item, Layer | Join) and place < len(item.nodes[0].outputs):
        return item.nodes[0].outputs[place].name.rpartition(".")[2]
    return ""


def _is_heavy(item: Item) -> bool:
    if not isinstance(item, Layer):
        return True
    return "out" in attributes(item.nodes) or ("whole", True) in spelling(item.nodes[0]).settings


def _setting(attr: Attr, value: Any, bare: bool) -> str:
    if attr.kind is AttrKind.FLAG:
        return attr.flag or attr.name
    return str(value) if attr.positional and bare else f"{attr.name}={value}"


def _attribute(attr: Attr, said: str, bare: bool, value: Any) -> str:
    if attr.positional and bare:
        return said
    name = attr.short or attr.name
    if attr.kind is AttrKind.INTS and said[0] != "[" and "x" in said:
        said = f"[{', '.join(said.split('x'))}]"
    elif isinstance(value, tuple) and len(value) == 1 and attr.kind is AttrKind.INTS:
        said = f"[{said}]"
    glued = name in _GLUED and said[0].isdigit() and said.replace("x", "").isdigit()
    if glued:
        return f"{name}{said}"
    return f"{name}={said}" if not attr.positional else f"{attr.name}={said}"


def _init(parameter: Parameter) -> str:
    init = parameter.init
    if init.kind == "list":
        return _nested(init.numbers, parameter.value.type.shape)
    number = text(init.value)
    return number if init.kind == "constant" else f"{init.kind}({number})"


def _nested(numbers: tuple[float, ...], shape: tuple[int, ...]) -> str:
    """Lists of lists: `[[1, 2], [3, 4]]`."""
    if not shape:
        return text(numbers[0])
    step = len(numbers) // shape[0]
    rows = [_nested(numbers[start : start + step], shape[1:]) for start in range(0, len(numbers), step)]
    return f"[{', '.join(rows)}]"


def _block(head: str, lines: Lines) -> Lines:
    if len(lines) == 1 and len(head) + len(lines[0]) + 5 <= SHORT:
        return [f"{head} {{ {lines[0]} }}"]
    return [f"{head} {{", *_indented(lines), "}"]


def _indented(lines: Iterable[str]) -> Lines:
    return [f"  {line}" if line else "" for line in lines]
