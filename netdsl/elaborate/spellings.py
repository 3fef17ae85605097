"""Layers as papers, tables and other libraries write them, for the help that a mistake gets."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.ops import BY_WORD
from netdsl.ops.base import Op
from netdsl.syntax import ast

_WORDS = {
    "adaptiveavgpool": "pool avg to=7x7",
    "adaptiveavgpool2d": "pool avg to=7x7",
    "adaptivemaxpool": "pool max to=7x7",
    "adaptivemaxpool2d": "pool max to=7x7",
    "averagepool": "pool avg",
    "averagepooling": "pool avg",
    "avgpool": "pool avg",
    "avgpool2d": "pool avg",
    "avgpooling": "pool avg",
    "batchnorm": "bn",
    "batchnorm2d": "bn",
    "batchnormalization": "bn",
    "cat": "concat",
    "conv1d": "conv",
    "conv2d": "conv",
    "convolution": "conv",
    "convtranspose": "upconv",
    "convtranspose1d": "upconv",
    "convtranspose2d": "upconv",
    "deconv": "upconv",
    "dense": "fc",
    "depthwiseconv": "conv channels k3 g=channels",
    "depthwiseconv2d": "conv channels k3 g=channels",
    "dwconv": "conv channels k3 g=channels",
    "fullyconnected": "fc",
    "gap": "pool avg global",
    "globalaveragepool": "pool avg global",
    "globalaveragepooling": "pool avg global",
    "globalavgpool": "pool avg global",
    "linear": "fc",
    "lrelu": "leakyrelu",
    "maxpool": "pool max",
    "maxpool2d": "pool max",
    "maxpooling": "pool max",
    "swish": "silu",
    "transposedconv": "upconv",
    "view": "reshape",
}
"""Layers by their names elsewhere, in lower case without spaces and underscores."""

_VALUES = {"True": "true", "False": "false", "None": None, "null": None}
"""Values by their names elsewhere; None for those that the language has no word for."""

STANDARD = {
    **dict.fromkeys(("cb", "cbr", "se", "squash"), "std/blocks.net"),
    **dict.fromkeys(("depthwise", "inverted"), "std/mobile.net"),
}
"""The blocks of the standard library that a program may call without having named their file."""

_BY_NUMBER = {"add": "shift", "mul": "scale"}
"""The layers that join a tensor with a number, by those that join it with a tensor."""


def layer(step: ast.Step) -> str | None:
    """What the layer is called here whose name elsewhere a step begins with: `MaxPool`, `global avg pool`."""
    words = [step.word]
    for value in step.values:
        if not isinstance(value, ast.Name):
            break
        words.append(value.name)
    for count in range(len(words), 0, -1):
        found = _WORDS.get("".join(words[:count]).lower().replace("_", ""))
        if found:
            return found
    return None


def kernel(op: type[Op], values: Iterable[ast.Expr]) -> str | None:
    """How the kernel is written that stands among the values without its letter: `conv 3x3 64`, `pool max 3`."""
    if not any(attr.short == "k" for attr in op.schema()):
        return None
    numbers = [value for value in values if isinstance(value, ast.ShapeExpr | ast.Number)]
    if not numbers:
        return None
    pairs = [value for value in numbers if isinstance(value, ast.ShapeExpr)]
    sides = (pairs[0] if pairs else numbers[-1]).span.text.split("x")
    return f"k{sides[0]}" if len(set(sides)) == 1 else "k" + "x".join(sides)


def block(word: str) -> str | None:
    """The file of the standard library whose block a word calls."""
    return STANDARD.get(word)


def value(word: str) -> str | None:
    """How to write a value that other languages call so: `True`; nothing where it is no such value."""
    if word not in _VALUES:
        return None
    here = _VALUES[word]
    return f"write `{here}`" if here else f"there is no `{word}`: leave the attribute out"


def by_number(op: type[Op], number: str) -> str | None:
    """The layer that does with a number what this one does with a tensor: `scale 0.5` for `mul 0.5`."""
    return f"{_BY_NUMBER[op.word]} {number}" if op.word in _BY_NUMBER else None


def as_layer(word: str) -> str | None:
    """The operator of that name in any case, or of that name elsewhere: `relu` for `ReLU`, `bn` for `BatchNorm`."""
    lower = word.lower()
    return lower if lower in BY_WORD and BY_WORD[lower].written else _WORDS.get(lower)
