"""Which layers make up which class: a class for each call of a block, as far as the block keeps its weights to itself.

A call whose layers have weights in several places has no class: its layers stand in the class around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from netdsl.ir.graph import Graph, Node, Value


@dataclass(eq=False, slots=True)
class Part:
    """The layers and calls of one class, in order of execution.

    `scope` is the address that the names of its layers begin with, and `address` what those of its weights begin with:
    another one in the calls of a shared block. `call` is the block's call, empty where its class is done already.
    """

    scope: str
    call: str
    address: str
    items: list[Node | Part] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """All layers, those of its calls among them."""
        for item in self.items:
            if isinstance(item, Part):
                yield from item.nodes()
            else:
                yield item

    def owns(self, name: str) -> bool:
        """Whether a weight of this name lies in here."""
        return not self.address or name.startswith(f"{self.address}.")


@dataclass(frozen=True, slots=True)
class Flow:
    """What goes into a part and comes out of it."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def tree(graph: Graph) -> Part:
    """The net as one part, with a part for each call that can be a class of its own."""
    scopes = {node.scope for node in graph.nodes}
    root = Part("", graph.name, "")
    stack, seen = [root], {""}
    for node in graph.nodes:
        while not (stack[-1].scope == node.scope or _inside(node.scope, stack[-1].scope)):
            _close(stack)
        for scope in _between(stack[-1].scope, node.scope, scopes):
            call = node.frame.call if node.frame and scope == node.scope else scope.rpartition(".")[2]
            stack.append(Part(scope, "" if scope in seen else call, scope))
            seen.add(scope)
        stack[-1].items.append(node)
    while len(stack) > 1:
        _close(stack)
    return root


def flow(part: Part, parameters: set[Value], wanted: set[Value]) -> Flow:
    """What a part reads from outside, in the order in which it does, and what of its own is `wanted` outside."""
    made = {value for node in part.nodes() for value in node.outputs}
    read = dict.fromkeys(value for node in part.nodes() for value in node.operands)
    inputs = tuple(value for value in read if value not in made and not (value in parameters and part.owns(value.name)))
    outputs = tuple(value for node in part.nodes() for value in node.outputs if value in wanted)
    return Flow(inputs, outputs)


def owner(node: Node) -> str:
    """The address of a layer's weights; its own name, unless it is a call of something shared."""
    for weight, value in zip(node.op.weights(tuple(v.type for v in node.operands)), node.weights, strict=True):
        return value.name.removesuffix(f".{weight.name}")
    return node.name


def _close(stack: list[Part]) -> None:
    """Put the innermost part into the one around it: as a part, or its items one by one."""
    part = stack.pop()
    addresses = {
        owner(node).removesuffix(node.name.removeprefix(part.scope)) for node in part.nodes() if node.weights
    } or {part.scope}
    part.address = addresses.pop()
    if part.call and part.address and not addresses and all(part.owns(owner(n)) for n in part.nodes() if n.weights):
        stack[-1].items.append(part)
    else:
        stack[-1].items += part.items


def _inside(scope: str, outer: str) -> bool:
    return not outer or scope.startswith(f"{outer}.")


def _between(outer: str, inner: str, scopes: set[str]) -> Iterator[str]:
    """The scopes below `outer` that lead to `inner`, outermost first."""
    words = inner.split(".") if inner else []
    for count in range(1, len(words) + 1):
        scope = ".".join(words[:count])
        if scope in scopes and _inside(scope, outer) and scope != outer:
            yield scope
