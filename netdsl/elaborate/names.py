"""Weight names are addresses in the text: the local part of each step's name, worked out once for a body.

Each step is its word; the second of that word in a body's text is `conv2`. Counting runs in text order through
branches, `if`, loops and `skip`, which add no component of their own. A word that ends in a digit gets `_2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from netdsl.elaborate.functions import FUNCTIONS
from netdsl.source import Span
from netdsl.syntax import ast

Named = ast.Step | ast.Branches | ast.Skip | ast.Each | ast.Call


def local_names(body: ast.Body) -> dict[int, str]:
    """The local name of every step and call in a body, by the identity of its node."""
    counts: dict[str, int] = {}
    names: dict[int, str] = {}
    for node in _body(body):
        word = _word(node)
        count = counts[word] = counts.get(word, 0) + 1
        separator = "_" if word[-1].isdigit() else ""
        names[id(node)] = word if count == 1 else f"{word}{separator}{count}"
    return names


def _word(node: Named) -> str:
    match node:
        case ast.Skip():
            return "skip"
        case ast.Each():
            return "each"
        case ast.Call():
            return node.name
        case _:
            return node.word


def _body(body: ast.Body) -> Iterator[Named]:
    for statement in body.statements:
        match statement:
            case ast.Chain():
                yield from _chain(statement)
            case ast.Let(value=ast.Chain() as chain):
                yield from _chain(chain)
            case ast.Let(value=expression):
                assert not isinstance(expression, ast.Chain)
                yield from _expression(expression)
            case ast.Output(values=values):
                for item in values:
                    yield from _expression(item)
            case _:
                # Inputs, params and asserts make no layers; a share names its weights itself.
                pass


def _chain(chain: ast.Chain) -> Iterator[Named]:
    for link in chain.links:
        match link:
            case ast.Step():
                yield link
                for argument in link.arguments or ():
                    yield from _expression(argument.value)
            case ast.Branches():
                yield link
                for branch in link.branches:
                    yield from _body(branch)
            case ast.Skip():
                yield link
                yield from _body(link.body)
                if link.via is not None:
                    yield from _body(link.via)
            case ast.Each():
                yield link
                yield from _body(link.body)
            case ast.Repeat() | ast.For():
                yield from _body(link.body)
            case ast.If():
                yield from _body(link.body)
                if link.otherwise is not None:
                    yield from _body(link.otherwise)
            case _:
                pass


def _expression(expression: ast.Expr) -> Iterator[Named]:
    match expression:
        case ast.Call():
            if expression.name not in FUNCTIONS:
                yield expression
            for argument in expression.arguments:
                yield from _expression(argument.value)
        case ast.ListExpr():
            for item in expression.items:
                yield from _expression(item)
        case _:
            pass


def mentioned(part: object) -> Iterator[str]:
    """Every name and word in a part of the text, whether or not that part is ever expanded."""
    if isinstance(part, tuple):
        for item in part:
            yield from mentioned(item)
    elif is_dataclass(part):
        match part:
            case ast.Name(name=name) | ast.Call(name=name):
                yield name
            case ast.Step(word=word):
                yield word
            case _:
                pass
        for field in fields(part):
            yield from mentioned(getattr(part, field.name))


def set_in(part: object, name: str) -> Iterator[Span]:
    """Where a part of the text sets a name, in its order."""
    if isinstance(part, tuple):
        for item in part:
            yield from set_in(item, name)
    elif is_dataclass(part):
        if isinstance(part, ast.Target) and part.name == name:
            yield part.span
        for field in fields(part):
            yield from set_in(getattr(part, field.name), name)
