"""The tree of a `.net` text. Every node has its span. Nodes are not changed after the parser made them.

They compare by identity; `netdsl.syntax.format` prints them, and two texts mean the same if they print the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.source import Span

# Expressions: settled when compiled. What a name or a call stands for (a number, a tensor, a family, a block, an
# operator's word) is known only when it is elaborated.


@dataclass(slots=True, eq=False)
class Number:
    """`3`, `1e-4`: `value` is an int or a float as written."""

    value: int | float
    span: Span


@dataclass(slots=True, eq=False)
class String:
    """`"text"`; may hold `{expression}` fields where a message is expected."""

    value: str
    span: Span


@dataclass(slots=True, eq=False)
class Boolean:
    """`true` or `false`."""

    value: bool
    span: Span


@dataclass(slots=True, eq=False)
class ListExpr:
    """`[a, b, c]`."""

    items: tuple[Expr, ...]
    span: Span


@dataclass(slots=True, eq=False)
class Name:
    """A name; `it` among them."""

    name: str
    span: Span


@dataclass(slots=True, eq=False)
class Index:
    """`widths[i]`, `e[w]`, `t[i, j]`: an element of a list, a tensor of a family."""

    base: Expr
    keys: tuple[Expr, ...]
    span: Span


@dataclass(slots=True, eq=False)
class Attribute:
    """`it.height`, `e4.width`, `xs.length`."""

    base: Expr
    name: str
    span: Span


@dataclass(slots=True, eq=False)
class Argument:
    """An argument of a call: `name` is None where it is positional."""

    name: str | None
    value: Expr
    span: Span


@dataclass(slots=True, eq=False)
class Call:
    """`zip(a, b)`, `crop(e4)`, `box(p[l])`: a function, an operator, a shared layer or a block."""

    name: str
    arguments: tuple[Argument, ...]
    name_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Unary:
    """`-a`, `not a`."""

    operator: str
    operand: Expr
    span: Span


@dataclass(slots=True, eq=False)
class Binary:
    """`+ - * / // % **`, `== != < <= > >=`, `and or`."""

    operator: str
    left: Expr
    right: Expr
    span: Span


@dataclass(slots=True, eq=False)
class ShapeExpr:
    """`64x56x56`, `3 x size x ?`: None stands for `?`. A single extent is a shape of one axis."""

    extents: tuple[Expr | None, ...]
    span: Span


Expr = Number | String | Boolean | ListExpr | Name | Index | Attribute | Call | Unary | Binary | ShapeExpr

# Steps: what stands between arrows.


@dataclass(slots=True, eq=False)
class Target:
    """A name that is given: `stem`, `e[w]`, `t[i, j]`."""

    name: str
    keys: tuple[Expr, ...]
    span: Span


@dataclass(slots=True, eq=False)
class Setting:
    """An attribute of a step. `k3x5` has name `k` and a ShapeExpr or Number; a flag (`nobias`) has value None."""

    name: str
    value: Expr | None
    name_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Step:
    """A word with what follows it: `conv 4*width k3 s=stride nobias`, `attention(memory) heads=8`, `relu`.

    Also a name that starts a chain (`p3 -> ...`), which looks the same until names are resolved.
    `arguments` is what stands in parentheses, None without any; `values` are the bare positional values. A bare word
    before the first attribute is a value (`conv 64 nobias`), one after it a flag: only the operator knows which it is.
    """

    word: str
    arguments: tuple[Argument, ...] | None
    values: tuple[Expr, ...]
    settings: tuple[Setting, ...]
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Reference:
    """A tensor of a family that starts a chain: `c[l] -> ...`."""

    value: Index
    span: Span


@dataclass(slots=True, eq=False)
class Branches:
    """`add { | F | it }`: a joining word over branches, each from the same `it`."""

    word: str
    branches: tuple[Body, ...]
    settings: tuple[Setting, ...]
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Skip:
    """`skip when=c { F } via { G }`: F(it) + G(it); `via` None stands for `it`; `when` false leaves F alone."""

    body: Body
    via: Body | None
    when: Expr | None
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Each:
    """`each { F }`: F over the leading axis."""

    body: Body
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Repeat:
    """`repeat n { ... }`."""

    count: Expr
    body: Body
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class For:
    """`for a, b in pairs { ... }`."""

    names: tuple[Name, ...]
    values: Expr
    body: Body
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class If:
    """`if c { ... } else { ... }`; an `else if` is an If alone in `otherwise`."""

    condition: Expr
    body: Body
    otherwise: Body | None
    word_span: Span
    span: Span


@dataclass(slots=True, eq=False)
class Naming:
    """`as e1`, `as keep, work`: names the step to its left."""

    targets: tuple[Target, ...]
    span: Span


@dataclass(slots=True, eq=False)
class Check:
    """`: 64x56x56` at the end of a line: the shape that `it` must have."""

    shape: ShapeExpr
    span: Span


Link = Step | Reference | Branches | Skip | Each | Repeat | For | If | Naming | Check


@dataclass(slots=True, eq=False)
class Chain:
    """The steps of one line, in order; `->` at a line's start or end joins lines. A Naming or Check follows a step."""

    links: tuple[Link, ...]
    span: Span


# Statements that leave `it` alone.


@dataclass(slots=True, eq=False)
class Let:
    """`let up = p5 -> upsample s2`, `let half = channels // 2`: an Expr where it may be a value, else a Chain."""

    target: Target
    value: Expr | Chain
    span: Span


@dataclass(slots=True, eq=False)
class Input:
    """`input image: 3x224x224`, `input words: int length`, `input noise[4]: 1x4x4`; in a block `input memory`.

    A block takes the type from the call.

    `dtype` is `int`, `bool` or None (real numbers).
    """

    target: Target
    dtype: str | None
    shape: ShapeExpr | None
    span: Span


@dataclass(slots=True, eq=False)
class Param:
    """`param gamma: width x 1 x 1 = 1e-6`, `param raw[i]: 1 = 1`; `init` is a number or `normal(std)`, say."""

    target: Target
    shape: ShapeExpr
    init: Expr
    span: Span


@dataclass(slots=True, eq=False)
class Share:
    """`share box = head(36)`: one set of weights, used at every call."""

    name: Name
    step: Step
    span: Span


@dataclass(slots=True, eq=False)
class Assert:
    """`assert width % groups == 0 : "groups {groups} do not divide {width}"`."""

    condition: Expr
    message: String | None
    span: Span


@dataclass(slots=True, eq=False)
class Output:
    """`output boxes, scores`."""

    values: tuple[Expr, ...]
    span: Span


Statement = Chain | Let | Input | Param | Share | Assert | Output


@dataclass(slots=True, eq=False)
class Body:
    """What stands between braces. `span` includes the braces (for a branch: from its bar)."""

    statements: tuple[Statement, ...]
    span: Span


# The file.


@dataclass(slots=True, eq=False)
class Parameter:
    """A parameter of a block or net, with its default."""

    name: Name
    default: Expr | None
    span: Span


@dataclass(slots=True, eq=False)
class Definition:
    """`block bottleneck(width, stride = 1) { ... }` or `net ResNet50(classes = 1000) { ... }`."""

    kind: str
    name: Name
    parameters: tuple[Parameter, ...]
    body: Body
    span: Span


@dataclass(slots=True, eq=False)
class Use:
    """`use "std/blocks.net"`: the blocks of another file."""

    path: String
    span: Span


@dataclass(slots=True, eq=False)
class File:
    """A whole text. `comments` are the spans of all `# ...`, in order, for the formatter."""

    uses: tuple[Use, ...]
    definitions: tuple[Definition, ...]
    comments: tuple[Span, ...]
    span: Span
