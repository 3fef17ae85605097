"""Generated kernels with one mask less: every place of a module's text at which one can be taken away."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from netdsl.codegen.triton.expressions import HELPERS


@dataclass(frozen=True)
class Mutant:
    """A kernel with one change: `what` was changed in which `statement`, and the text of a file with it."""

    kernel: str
    statement: str
    what: str
    text: str


Edit = tuple[int, int, str]
"""From and to which character of a text, and what stands there instead."""


def orders(node: ast.AST) -> TypeGuard[ast.Compare]:
    return isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)


def joins(node: ast.AST) -> TypeGuard[ast.BinOp]:
    """Whether it is `a & b` of masks; of whole numbers, one is a constant."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd) and not isinstance(node.right, ast.Constant)


class Finder:
    """Mutants of a module's text."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            assert line.isascii(), "columns count bytes"
            self.starts.append(self.starts[-1] + len(line))

    def mutants(self, names: Iterable[str]) -> Iterator[Mutant]:
        """Of these kernels: loads and stores without their mask, masks without a term, comparisons that always hold."""
        functions = {
            node.name: node
            for node in ast.parse(self.source).body
            if isinstance(node, ast.FunctionDef) and node.decorator_list
        }
        helpers = [self._whole(functions[name]) for name in ("begin", *HELPERS) if name in functions]
        head = "\n\n".join(("import triton\nimport triton.language as tl", *helpers, ""))
        for name in names:
            whole = self._whole(functions[name])
            start = self.source.index(whole)
            for statement in ast.walk(functions[name]):
                part = statement.iter if isinstance(statement, ast.For) else statement
                if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.For):
                    for what, *edits in self._in(part):
                        text = whole
                        for begin, end, new in sorted(edits, reverse=True):
                            text = text[: begin - start] + new + text[end - start :]
                        yield Mutant(name, self._text(part), what, head + text)

    def _whole(self, function: ast.FunctionDef) -> str:
        """With its decorators."""
        return self.source[self.starts[function.decorator_list[0].lineno - 1] : self._span(function)[1]]

    def _in(self, statement: ast.stmt | ast.expr) -> Iterator[tuple[str, *tuple[Edit, ...]]]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and self._text(node.func) in ("tl.load", "tl.store"):
                named = {keyword.arg: keyword.value for keyword in node.keywords}
                if "mask" in named:
                    guards = (named[name] for name in ("mask", "other") if name in named)
                    yield "no mask", *((*self._span(guard), "None") for guard in guards)
                if "other" in named:
                    poison = {"0": "1", "1": "0", "0.0": 'float("nan")', 'float("inf")': 'float("-inf")'}
                    other = poison.get(self._text(named["other"]), 'float("inf")')
                    yield f"other={other}", (*self._span(named["other"]), other)
            elif isinstance(node, ast.Call) and self._text(node.func) == "tl.where" and not orders(node.args[0]):
                yield self._holds(node.args[0])
            elif orders(node):
                yield self._holds(node)
            elif joins(node):
                yield from (self._holds(term) for term in (node.left, node.right) if not (orders(term) or joins(term)))

    def _holds(self, term: ast.expr) -> tuple[str, Edit]:
        """Always true, and of the same shape."""
        sides = (term.left, *term.comparators) if isinstance(term, ast.Compare) else (term,)
        side = next(self._text(side) for side in sides if not isinstance(side, ast.Constant))
        return f"without {self._text(term)}", (*self._span(term), f"({side} == {side})")

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno
        assert node.end_col_offset is not None
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self.source[start:end]
