"""One layout for every program: two spaces a level, at most 100 columns, comments and single blank lines kept.

What stands on one line and fits stays on one line; a block with a line break in it has each statement on a line of its
own. A chain that is broken or too long continues on the next line without an arrow: a new line chains as well. A list
that breaks after its bracket stays broken; its rows, if they are lists of equal length, are aligned.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netdsl.source import Source, Span
from netdsl.syntax import ast, flat

WIDTH = 100
INDENT = "  "

_BLANK_LINE = re.compile(r"\n[ \t]*\n")

Lines = list[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """What takes lines of its own in a body. `links`: of a broken chain, those of one line."""

    start: int
    end: int
    node: ast.Statement | ast.Definition | ast.Use
    links: Sequence[ast.Link] = ()


def format(source: Source, file: ast.File) -> str:
    """The text of a parsed file in the one layout. Formatting the result changes nothing."""
    formatter = _Formatter(source, file.comments)
    items: list[ast.Use | ast.Definition] = [*file.uses, *file.definitions]
    items.sort(key=lambda item: item.span.start)
    pieces = [Piece(item.span.start, item.span.end, item) for item in items]
    lines = formatter.pieces(pieces, 0, len(source.text), WIDTH)
    return "".join(line.rstrip() + "\n" for line in lines)


class _Formatter:
    """Lines are relative to the statement they belong to; `before` is what stands before its first one."""

    def __init__(self, source: Source, comments: Sequence[Span]) -> None:
        self._text = source.text
        self._comments = comments
        self._starts = [comment.start for comment in comments]
        self._written: set[int] = set()

    # Bodies and comments.

    def pieces(self, pieces: Iterable[Piece], start: int, end: int, width: int) -> Lines:
        """Pieces one below the other, with the comments and single blank lines between `start` and `end`."""
        lines: Lines = []
        done = start

        def place(more: Lines, begin: int, finish: int) -> None:
            nonlocal done
            if lines and _BLANK_LINE.search(self._text, done, begin):
                lines.append("")
            lines.extend(more)
            done = finish

        for piece in pieces:
            for comment in self._take(done, piece.start):
                place([_line(comment)], comment.start, comment.end)
            made = self._piece(piece, width)
            # A comment inside, where no line of its own could take it, moves before the whole.
            for comment in self._take(piece.start, piece.end):
                place([_line(comment)], piece.start, piece.start)
            place(made, piece.start, piece.end)
            done = self._trailing(lines, done)
        for comment in self._take(done, end):
            place([_line(comment)], comment.start, comment.end)
        return lines

    def _take(self, start: int, end: int) -> list[Span]:
        """The comments between two places that are not written yet; now they are."""
        indices = range(bisect_left(self._starts, start), bisect_left(self._starts, end))
        taken = [index for index in indices if index not in self._written]
        self._written.update(taken)
        return [self._comments[index] for index in taken]

    def _trailing(self, lines: Lines, done: int) -> int:
        """Add to the last line the comment that follows `done` on its line; return where that ends."""
        at = bisect_left(self._starts, done)
        if at == len(self._starts) or at in self._written or self._text[done : self._starts[at]].strip(" \t\r;,"):
            return done
        self._written.add(at)
        lines[-1] += f"  {_line(self._comments[at])}"
        return self._comments[at].end

    def _piece(self, piece: Piece, width: int) -> Lines:
        match piece.node:
            case ast.Use(path=path):
                return [f"use {flat.expression(path)}"]
            case ast.Definition() as node:
                return self._block(self._head(node, width), node.body, width)
            case ast.Chain():
                return self._chain(piece.links, "", width)
            case ast.Let(value=ast.Chain(links=links)) as let:
                return self._chain(links, f"let {flat.target(let.target)} = ", width, arrows=True)
            case ast.Let(value=value) as let:
                return self._expression(f"let {flat.target(let.target)} = ", value, width)  # type: ignore[arg-type]
            case ast.Param(init=init) as param:
                return self._expression(f"param {flat.target(param.target)}: {flat.shape(param.shape)} = ", init, width)
            case ast.Share(step=step) as share:
                return self._step(step, f"share {share.name.name} = ", width)
            case ast.Output(values=values):
                return _filled("output ", [flat.expression(value) for value in values], width, "    ")
            case statement:
                return [flat.statement(statement)]

    def _split(self, statements: Sequence[ast.Statement]) -> list[Piece]:
        """Statements, and the lines of those chains that are broken."""
        pieces: list[Piece] = []
        for statement in statements:
            line: list[ast.Link] = []
            for link in statement.links if isinstance(statement, ast.Chain) else ():
                if line and not _is_mark(link) and "\n" in self._text[line[-1].span.end : link.span.start]:
                    pieces.append(Piece(line[0].span.start, line[-1].span.end, statement, line))
                    line = []
                line.append(link)
            start = line[0].span.start if line else statement.span.start
            pieces.append(Piece(start, statement.span.end, statement, line))
        return pieces

    def _block(self, head: Lines, body: ast.Body, width: int, room: int = 0) -> Lines:
        """`head { ... }`: on one line where it was and fits, with `room` to spare."""
        if "\n" not in body.span.text:
            line = f"{head[-1]} {flat.body(body)}"
            if len(line) + room <= width:
                return [*head[:-1], line]
        lines = [*head[:-1], f"{head[-1]} {{"]
        done = self._trailing(lines, body.span.start + 1)
        inner = self.pieces(self._split(body.statements), done, body.span.end, width - len(INDENT))
        return [*lines, *(INDENT + line for line in inner), "}"]

    # Chains.

    def _chain(self, links: Sequence[ast.Link], before: str, width: int, arrows: bool = False) -> Lines:
        """A chain. Where it continues on a new line, `arrows` says that the line before ends in one."""
        lines = [before]
        for i, link in enumerate(links):
            if isinstance(link, ast.Naming | ast.Check):
                lines[-1] += flat.mark(link)
                continue
            marks = 0
            for mark in links[i + 1 :]:
                if not isinstance(mark, ast.Naming | ast.Check):
                    break
                marks += len(flat.mark(mark))
            margin = INDENT if arrows else ""
            if i == 0 or isinstance(links[i - 1], ast.Check):
                joined = i == 0
            else:
                joined = self._joins(link, len(lines[-1]) + len(" -> "), len(margin), width - marks)
            if not joined and arrows:
                lines[-1] += " ->"
            if joined:
                lines[-1:] = self._link(link, lines[-1] + " -> " if i else before, width, marks)
            else:
                lines += self._link(link, margin, width, marks)
        return lines

    def _joins(self, link: ast.Link, here: int, margin: int, width: int) -> bool:
        """Whether a link goes on the line that has `here` columns already, rather than on a new one."""
        block = hasattr(link, "body") or isinstance(link, ast.Branches)
        if not block or "\n" not in link.span.text:
            columns = len(flat.link(link))
            if not block or min(here, margin) + columns <= width:
                return here + columns <= width
        # A block that takes several lines anyway: its head decides.
        return here + len(flat.head(link)) + len(" {") <= width

    def _link(self, link: ast.Link, before: str, width: int, room: int) -> Lines:
        """A link that leaves `room` for its name and check."""
        match link:
            case ast.Step():
                return self._step(link, before, width - room)
            case ast.Branches():
                return self._branches(link, before, width, room)
            case ast.Repeat():
                head = self._expression(f"{before}repeat ", link.count, width - 2)
                return self._block(head, link.body, width, room)
            case ast.For():
                names = ", ".join(name.name for name in link.names)
                head = self._expression(f"{before}for {names} in ", link.values, width - 2)
                return self._block(head, link.body, width, room)
            case ast.Skip(via=via) if via:
                lines = self._block([before + flat.head(link)], link.body, width, len(" via {"))
                return self._block([*lines[:-1], f"{lines[-1]} via"], via, width, room)
            case ast.If():
                return self._if(link, before, width, room)
            case ast.Skip() | ast.Each():
                return self._block([before + flat.head(link)], link.body, width, room)
            case _:
                return [before + flat.link(link)]

    def _if(self, node: ast.If, before: str, width: int, room: int) -> Lines:
        head = [f"{before}if {flat.expression(node.condition)}"]
        if node.otherwise is None:
            return self._block(head, node.body, width, room)
        inner = flat.else_if(node)
        lines = self._block(head, node.body, width, len(" else {"))
        if inner is None:
            return self._block([*lines[:-1], f"{lines[-1]} else"], node.otherwise, width, room)
        return [*lines[:-1], *self._if(inner, f"{lines[-1]} else ", width, room)]

    def _branches(self, node: ast.Branches, before: str, width: int, room: int) -> Lines:
        if "\n" not in node.span.text:
            line = before + flat.link(node)
            if len(line) + room <= width:
                return [line]
        lines = [f"{before}{flat.head(node)} {{"]
        last = node.settings[-1].span.end if node.settings else node.word_span.end
        done = self._trailing(lines, self._text.index("{", last) + 1)
        for branch in node.branches:
            first = branch.statements[0].span.start
            lines += [INDENT + _line(comment) for comment in self._take(done, first)]
            inner = self._branch(branch, width - 2 * len(INDENT))
            while inner[0].startswith("#"):
                lines.append(INDENT + inner.pop(0))
            lines += [f"{INDENT}{INDENT if i else '| '}{line}".rstrip() for i, line in enumerate(inner)]
            done = self._trailing(lines, branch.span.end)
        lines += [INDENT + _line(comment) for comment in self._take(done, node.span.end)]
        return [*lines, "}"]

    def _branch(self, branch: ast.Body, width: int) -> Lines:
        if "\n" not in branch.span.text:
            line = flat.branch(branch).removeprefix("| ")
            if len(line) <= width:
                return [line]
        pieces = self._split(branch.statements)
        return self.pieces(pieces, pieces[0].start, branch.span.end, width)

    def _step(self, node: ast.Step, before: str, width: int) -> Lines:
        lines = [before + node.word]
        if node.arguments is not None:
            lines = self._arguments(lines[0], node.arguments, node.word_span.end, width)
        lines[-1] = " ".join([lines[-1], *(flat.expression(value, flat.SUM) for value in node.values)])
        for item in node.settings:
            if isinstance(item.value, ast.ListExpr):
                lines[-1:] = self._list(f"{lines[-1]} {item.name}=", item.value, width)
            else:
                lines[-1] += f" {flat.setting(item)}"
        return lines

    # What breaks within brackets.

    def _expression(self, before: str, node: ast.Expr, width: int) -> Lines:
        match node:
            case ast.ListExpr():
                return self._list(before, node, width)
            case ast.Call():
                return self._arguments(before + node.name, node.arguments, node.name_span.end, width)
            case _:
                return [before + flat.expression(node)]

    def _head(self, node: ast.Definition, width: int) -> Lines:
        """`net Name(...)`: its parameters one a line where they do not fit."""
        line = flat.definition_head(node)
        if not node.parameters or len(line) + 2 <= width:
            return [line]
        inner = [f"{INDENT}{flat.parameter(parameter)}," for parameter in node.parameters]
        return [f"{node.kind} {node.name.name}(", *inner, ")"]

    def _arguments(self, before: str, arguments: Sequence[ast.Argument], opening: int, width: int) -> Lines:
        """`before(...)`: one argument a line where they were broken so or do not fit."""
        line = before + flat.arguments(arguments)
        if not arguments or (len(line) <= width and not self._breaks(opening, arguments[0].span)):
            return [line]
        lines = [f"{before}("]
        for item in arguments:
            made = self._expression(f"{item.name}=" if item.name else "", item.value, width - len(INDENT) - 1)
            lines += [INDENT + line for line in [*made[:-1], f"{made[-1]},"]]
        return [*lines, ")"]

    def _list(self, before: str, node: ast.ListExpr, width: int) -> Lines:
        line = before + flat.expression(node)
        if not node.items or (len(line) <= width and not self._breaks(node.span.start, node.items[0].span)):
            return [line]
        rows = [item.items for item in node.items if isinstance(item, ast.ListExpr)]
        if len(rows) < len(node.items):
            items = [f"{flat.expression(item)}," for item in node.items]
            filled = _filled("", items, width - len(INDENT), "", " ")
            return [f"{before}[", *(INDENT + line for line in filled), "]"]
        cells = [[flat.expression(item) for item in row] for row in rows]
        if len({len(row) for row in cells}) == 1:
            widths = [max(map(len, column)) + 1 for column in zip(*cells, strict=True)]
            texts = [" ".join(f"{c},".ljust(w) for c, w in zip(row[:-1], widths, strict=False)) for row in cells]
            texts = [f"{text} {row[-1]}".lstrip() if row else "" for text, row in zip(texts, cells, strict=True)]
        else:
            texts = [", ".join(row) for row in cells]
        lines = [f"{before}["]
        done = node.span.start + 1
        for item, text in zip(node.items, texts, strict=True):
            lines += [INDENT + _line(comment) for comment in self._take(done, item.span.start)]
            if len(text) + len(INDENT) + len("[],") <= width:
                lines.append(f"{INDENT}[{text}],")
            else:
                lines += _filled(f"{INDENT}[", text.split(", "), width - len("],"), 2 * INDENT)
                lines[-1] += "],"
            done = self._trailing(lines, item.span.end)
        lines += [INDENT + _line(comment) for comment in self._take(done, node.span.end)]
        return [*lines, "]"]

    def _breaks(self, opening: int, first: Span) -> bool:
        return "\n" in self._text[opening : first.start]


def _is_mark(link: ast.Link) -> bool:
    return isinstance(link, ast.Naming | ast.Check)


def _line(comment: Span) -> str:
    return comment.text.rstrip()


def _filled(before: str, items: Sequence[str], width: int, margin: str, separator: str = ", ") -> Lines:
    """Items as many on a line as fit; a line that continues ends in a comma."""
    lines = [before + items[0]]
    for item in items[1:]:
        if len(lines[-1]) + len(separator) + len(item) < width:
            lines[-1] += separator + item
        else:
            lines[-1] += separator.rstrip()
            lines.append(margin + item)
    return lines
