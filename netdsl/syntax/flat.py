"""The tree as text on one line. What needs several lines is laid out by `netdsl.syntax.format`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netdsl.syntax import ast

OR, AND, NOT, COMPARE, SUM, PRODUCT, SIGN, POWER, ATOM = range(1, 10)
"""How tightly operators bind."""

_BINDING = {
    "or": OR,
    "and": AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARE),
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "//", "%"), PRODUCT),
    "**": POWER,
}


def expression(node: ast.Expr, binding: int = OR, closed: bool = False) -> str:
    """An expression, in parentheses where it binds less tightly than `binding`.

    `*` and `**` stand without spaces, others with; none has any where `closed` (keys, values of attributes).
    """
    match node:
        case ast.Number() | ast.String():
            return node.span.text
        case ast.Boolean():
            return "true" if node.value else "false"
        case ast.Name():
            return node.name
        case ast.Attribute():
            return f"{expression(node.base, ATOM)}.{node.name}"
        case ast.Index():
            return f"{expression(node.base, ATOM)}{keys(node.keys)}"
        case ast.Call():
            return node.name + arguments(node.arguments)
        case ast.ListExpr():
            return f"[{listed(node.items)}]"
        case ast.ShapeExpr():
            return "x".join("?" if extent is None else expression(extent) for extent in node.extents)
        case ast.Unary():
            own = NOT if node.operator == "not" else SIGN
            inner_closed = closed and binding <= own
            text = ("not " if own == NOT else "-") + expression(node.operand, own, inner_closed)
        case ast.Binary():
            own = _BINDING[node.operator]
            inner_closed = closed and binding <= own
            # All associate to the left but the power; a comparison does not associate.
            left = expression(node.left, own + (own in (COMPARE, POWER)), inner_closed)
            right = expression(node.right, SIGN if own == POWER else own + 1, inner_closed)
            spaced = own <= COMPARE or (own <= PRODUCT and node.operator != "*" and not inner_closed)
            text = f"{left} {node.operator} {right}" if spaced else f"{left}{node.operator}{right}"
    return text if binding <= own else f"({text})"


def listed(items: Iterable[ast.Expr]) -> str:
    """`a, b, c`."""
    return ", ".join(map(expression, items))


def keys(items: Sequence[ast.Expr]) -> str:
    """`[i+1, j]`, or nothing for no keys."""
    return f"[{', '.join(expression(item, closed=True) for item in items)}]" if items else ""


def argument(node: ast.Argument) -> str:
    """`width`, `xs=[a, b]`."""
    return f"{node.name}={expression(node.value)}" if node.name else expression(node.value)


def arguments(items: Iterable[ast.Argument]) -> str:
    """`(a, b=c)`."""
    return f"({', '.join(map(argument, items))})"


def shape(node: ast.ShapeExpr) -> str:
    """`64x56x56` where all extents are numbers, else `3 x size x ?`."""
    if all(isinstance(extent, ast.Number) and isinstance(extent.value, int) for extent in node.extents):
        return expression(node)
    return " x ".join("?" if extent is None else expression(extent, SUM) for extent in node.extents)


def setting(node: ast.Setting) -> str:
    """`k3x5`, `s=stride`, `nobias`."""
    if node.value is None:
        return node.name
    if node.span.end - node.span.start == 1 + node.value.span.end - node.value.span.start:
        return node.name + expression(node.value)
    return f"{node.name}={expression(node.value, SUM, closed=True)}"


def target(node: ast.Target) -> str:
    """`e1`, `t[i, j]`."""
    return node.name + keys(node.keys)


def parameter(node: ast.Parameter) -> str:
    """`stride = 1`."""
    return node.name.name if node.default is None else f"{node.name.name} = {expression(node.default)}"


def mark(node: ast.Naming | ast.Check) -> str:
    """What follows a step: ` as e1`, ` : 64x56x56`."""
    if isinstance(node, ast.Check):
        return f" : {shape(node.shape)}"
    return f" as {', '.join(map(target, node.targets))}"


def head(node: ast.Link) -> str:
    """What stands before the first brace of a block."""
    match node:
        case ast.Branches():
            return " ".join([node.word, *map(setting, node.settings)])
        case ast.Skip():
            return f"skip when={expression(node.when, SUM, closed=True)}" if node.when else "skip"
        case ast.Repeat():
            return f"repeat {expression(node.count)}"
        case ast.For():
            return f"for {', '.join(name.name for name in node.names)} in {expression(node.values)}"
        case ast.If():
            return f"if {expression(node.condition)}"
        case _:
            return "each"


def link(node: ast.Link) -> str:
    """One link of a chain, without the arrow before it."""
    match node:
        case ast.Step():
            given = "" if node.arguments is None else arguments(node.arguments)
            values = [expression(value, SUM) for value in node.values]
            return " ".join([node.word + given, *values, *map(setting, node.settings)])
        case ast.Reference():
            return expression(node.value)
        case ast.Naming() | ast.Check():
            return mark(node)
        case ast.Branches():
            return f"{head(node)} {{ {' '.join(map(branch, node.branches))} }}"
        case ast.Skip(via=via) if via:
            return f"{head(node)} {body(node.body)} via {body(via)}"
        case ast.If(otherwise=otherwise) if otherwise:
            inner = else_if(node)
            return f"{head(node)} {body(node.body)} else {link(inner) if inner else body(otherwise)}"
        case _:
            return f"{head(node)} {body(node.body)}"


def else_if(node: ast.If) -> ast.If | None:
    """The `if` after an `else`, where the tree holds one instead of braces."""
    if node.otherwise and len(node.otherwise.statements) == 1:
        only = node.otherwise.statements[0]
        if isinstance(only, ast.Chain) and only.span == node.otherwise.span and isinstance(only.links[0], ast.If):
            return only.links[0]
    return None


def chain(links: Sequence[ast.Link]) -> str:
    """`conv 64 k3 -> relu as e1`."""
    return "".join(
        link(node) if i == 0 or isinstance(node, ast.Naming | ast.Check) else f" -> {link(node)}"
        for i, node in enumerate(links)
    )


def branch(node: ast.Body) -> str:
    """`| conv 64 k3`."""
    return f"| {'; '.join(map(statement, node.statements))}"


def body(node: ast.Body) -> str:
    """`{ relu }`."""
    return f"{{ {'; '.join(map(statement, node.statements))} }}" if node.statements else "{ }"


def statement(node: ast.Statement) -> str:
    """One statement."""
    match node:
        case ast.Chain():
            return chain(node.links)
        case ast.Let(value=ast.Chain(links=links)):
            return f"let {target(node.target)} = {chain(links)}"
        case ast.Let(value=value):
            return f"let {target(node.target)} = {expression(value)}"  # type: ignore[arg-type]
        case ast.Input():
            dtype = f"{node.dtype} " if node.dtype else ""
            return f"input {target(node.target)}" + (f": {dtype}{shape(node.shape)}" if node.shape else "")
        case ast.Param():
            return f"param {target(node.target)}: {shape(node.shape)} = {expression(node.init)}"
        case ast.Share():
            return f"share {node.name.name} = {link(node.step)}"
        case ast.Assert():
            message = f" : {expression(node.message)}" if node.message else ""
            return f"assert {expression(node.condition)}{message}"
        case ast.Output():
            return f"output {listed(node.values)}"


def definition_head(node: ast.Definition) -> str:
    """`net ResNet50(classes = 1000)`."""
    given = f"({', '.join(map(parameter, node.parameters))})" if node.parameters else ""
    return f"{node.kind} {node.name.name}{given}"
