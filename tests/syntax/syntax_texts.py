"""Programs for the tests: those beside this file, and random ones that reach every rule of the grammar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

PROGRAMS = {path.stem: path.read_text("utf-8") for path in sorted((Path(__file__).parent / "programs").glob("*.net"))}

NAMES = ["a", "b", "x", "it", "width", "int", "when", "to", "p3", "k2", "training", "x1", "_0", "bool"]
PLAIN = ["a", "b", "x", "width", "int", "when", "classes", "bool"]
WORDS = ["conv", "relu", "add", "fc", "x", "unit", "pool"]
SHORT = ["k3", "s2", "p1x2", "g32", "d2", "k3x5x7", "p0"]
NUMBERS = ["0", "1", "64", "0.5", "1e-4", "2.5E+3", "4096"]
STRINGS = ['"a"', '"{a} # b; { -> "', r'"\"\\\n"', '""']
SHAPES = ["3x4", "64x56x56", "1", "3 x size x size", "? x 3", "steps + 1 x vocab", "2*a x (b + c)", "3 x 4"]
BLANKS = [" ", " ", "  ", "\t", "\r "]
ARROWS = [" -> ", " -> ", "->", " ->\n    ", "\n    -> ", " -> # why\n"]
BETWEEN = ["; ", ";", "\n", "\n", "\n\n", " # c\n", "\n\n\n  # own\n  "]
BODIES = [("{ ", " }"), ("{ ", " }"), ("{", "}"), ("{\n  ", "\n}"), ("{ # c\n", "\n# last\n}"), ("{\n\n", "\n\n}")]
EMPTY = ["{ }", "{}", "{\n}", "{ # empty\n}"]
ENDS = ["\n", "\n\n", "\n\n\n  ", " # note\n", "\n# own line\n", "\r\n", " \n \n"]


class Writer:
    """Writes one random text, well-formed but for what names mean. `head`: where no bracket or sign may come first."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def one(self, options: list[str]) -> str:
        return self.random.choice(options)

    def some(self, make: Callable[[], str], least: int = 0, most: int = 3) -> list[str]:
        return [make() for _ in range(self.random.randint(least, most))]

    def often(self, percent: int) -> bool:
        return self.random.random() * 100 < percent

    # Expressions.

    def expression(self, depth: int = 2, head: bool = False) -> str:
        leaves = [lambda: self.one(PLAIN if head else NAMES), lambda: self.one(NUMBERS), lambda: self.one(STRINGS)]
        leaves += [lambda: self.one(["3x4", "1x2x3", "7x?"]), lambda: self.one(["true", "false"])]
        if not depth or self.often(40):
            return self.random.choice(leaves)()

        def inner() -> str:
            return self.expression(depth - 1)

        deep: list[Callable[[], str]] = [
            lambda: self.one(PLAIN) + self.arguments(depth - 1),
            lambda: f"{self.one(PLAIN)}[{inner()}]",
            lambda: f"{self.one(PLAIN)}[{inner()}, {inner()}][{inner()}]",
            lambda: f"{self.one(PLAIN)}.height",
            lambda: f"{self.one(PLAIN)}({inner()})[0].width",
            lambda: self.sum(depth - 1, head),
            lambda: f"{self.one(['a', '2', 'f(x)', 'w[i]'])}{self.one([' ** ', '**', '**-'])}({inner()})",
        ]
        if not head:
            deep += [
                lambda: self.list(depth - 1),
                lambda: f"({inner()})",
                lambda: f"-({inner()})",
                lambda: f"(not ({inner()}))",
                lambda: f"(({inner()}) {self.one(['==', '!=', '<', '<=', '>', '>='])} ({inner()}))",
                lambda: f"(({inner()}) {self.one(['and', 'or'])} ({inner()}))",
            ]
        return self.random.choice(deep)()

    def sum(self, depth: int, head: bool) -> str:
        left = self.expression(depth, head)
        operator = self.one([" + ", " - ", "-", "*", " * ", " / ", "//", " % "])
        return f"{left if head else f'({left})'}{operator}({self.expression(depth)})"

    def list(self, depth: int) -> str:
        items = self.some(lambda: self.expression(depth))
        if self.often(30):
            items = [f"[{self.expression(0)}, {self.expression(0)}]" for _ in items]
        gap = self.one(["", "", "\n", " "])
        return f"[{gap}{', '.join(items)}{self.one(['', ',']) if items else ''}{gap}]"

    def arguments(self, depth: int = 1) -> str:
        given = self.some(lambda: self.expression(depth))
        given += self.some(lambda: f"{self.one(NAMES)}={self.expression(depth)}", most=2)
        gap = self.one(["", "", "", "\n    "])
        return f"({gap}{', '.join(given)}{gap})"

    # Steps and chains.

    def target(self) -> str:
        return self.one(NAMES) + self.one(["", "", "[w]", "[i, j+1]", "[ 2 - 1 ]"])

    def setting(self) -> str:
        name, equals = self.one(["s", "axis", "to", "heads"]), self.one(["=", "=", " = "])
        return f"{name}{equals}{self.expression(1, head=self.often(50))}"

    def step(self) -> str:
        word = self.one(WORDS) + (self.arguments() if self.often(30) else "")
        values = self.some(lambda: self.expression(1, head=True), most=2)
        settings = self.some(lambda: self.one(SHORT) if self.often(60) else self.setting())
        flags = self.some(lambda: self.one(["same", "nobias", "x"]), most=2) if settings else []
        return self.one(BLANKS).join([word, *values, *settings, *flags])

    def link(self, depth: int) -> str:
        if not depth or self.often(60):
            return self.one(["e[w]", "t[i, j]", "c[ l-1 ]"]) if self.often(15) else self.step()

        def body() -> str:
            return self.body(depth - 1)

        return self.random.choice(
            [
                lambda: self.branches(depth - 1),
                lambda: f"skip{self.one(['', ' when=(a == 1 and b)', ' when=c'])} {body()}",
                lambda: f"skip {body()} via {body()}",
                lambda: f"each {body()}",
                lambda: f"repeat {self.expression(1)} {body()}",
                lambda: f"for {', '.join(self.some(lambda: self.one(PLAIN), 1))} in {self.expression()} {body()}",
                lambda: f"if {self.expression(1)} {body()}",
                lambda: f"if {self.expression(1)} {body()} else {body()}",
                lambda: f"if a {body()} else if {self.expression(1)} {body()} else {body()}",
                lambda: f"if a {body()}\n# why not\nelse if b {body()}",
            ]
        )()

    def branches(self, depth: int) -> str:
        gap = self.one([" ", "\n", "\n# branch\n", "\n\n"])
        made = self.some(lambda: f"| {self.statements(depth)}", 1)
        return f"{self.one(WORDS)}{self.one(['', ' axis=1', ' keep'])} {{{gap}{gap.join(made)}{gap}}}"

    def chain(self, depth: int) -> str:
        text = ""
        for i in range(self.random.randint(1, 4)):
            text += (self.one(ARROWS) if i else "") + self.link(depth)
            if self.often(20):
                text += f" as {', '.join(self.some(self.target, 1, 2))}"
        return text + (f" : {self.one(SHAPES)}" if self.often(15) else "")

    # Statements.

    def statement(self, depth: int) -> str:
        if self.often(50):
            return self.chain(depth)
        return self.random.choice(
            [
                lambda: f"let {self.one(PLAIN)} = {self.expression()}",
                lambda: f"let {self.target()} = {self.chain(depth)}",
                lambda: f"input {self.one(NAMES)}{self.one(['', ': 3x4', ': int n', ': bool 3 x n', ': int'])}",
                lambda: f"param {self.target()}: {self.one(SHAPES)} = {self.one(['0', 'normal(0.02)', '1e-6'])}",
                lambda: f"share {self.one(NAMES)} = {self.step()}",
                lambda: f"assert {self.expression()}{self.one(['', ' : ' + self.one(STRINGS)])}",
                lambda: f"output {', '.join(self.some(lambda: self.one(['a', 'p3', 'e[1]']), 1, 30))}",
            ]
        )()

    def statements(self, depth: int) -> str:
        made = self.some(lambda: self.statement(depth), 1)
        return made[0] + "".join(self.one(BETWEEN) + item for item in made[1:])

    def body(self, depth: int) -> str:
        if self.often(10):
            return self.one(EMPTY)
        opening, closing = self.random.choice(BODIES)
        return opening + self.statements(depth) + closing

    def program(self) -> str:
        text = self.one(["", "\n", "# first\n\n"])
        for _ in range(self.random.randint(1, 3)):
            if self.often(20):
                text += 'use "std/blocks.net"'
            else:
                given = self.some(lambda: self.one(["a", "width = 3", "unit", "xs = [1, 2]"]), most=10)
                comma = self.one(["", ", "]) if given else ""
                parameters = f"({', '.join(given)}{comma})" if given or self.often(50) else ""
                text += f"{self.one(['net', 'block'])} Name{parameters} {self.body(2)}"
            text += self.one(ENDS)
        return text


def random_program(seed: int) -> str:
    """The same text for the same seed."""
    return Writer(seed).program()
