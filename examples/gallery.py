"""Writes README.md and gallery.svg: every net of the folder with its lines, its costs and what it sees.

python examples/gallery.py                  from the nets as they are
python examples/gallery.py --torchvision    counts torchvision's lines anew first, into gallery.json
"""

from __future__ import annotations

import ast
import importlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import netdsl

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

import scatter  # noqa: E402 -- beside this script

STANDARD = Path(netdsl.__file__).parent / "std"
COUNTED = FOLDER / "gallery.json"
LOADING = re.compile(r"[wW]eights|^register_model$|^handle_legacy|_ovewrite|^_log_api")
"""Names of torchvision's that load weights, or keep lists of models."""
LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
YEARS = (
    (2013, "#7f7f7f"),
    (2014, "#1f77b4"),
    (2015, "#2ca02c"),
    (2016, "#ff7f0e"),
    (2018, "#d62728"),
    (9999, "#9467bd"),
)
"""The last year of each group, and its colour."""

HEAD = """\
# Gallery

Every network of the field's courses, as a program of a few lines. `netdsl summary examples/resnet.net --net ResNet50`
counts one layer by layer; `netdsl compile` makes it a module. The exercises of lectures have [a page of their
own](lectures/README.md).

![multiply-accumulates against parameters](gallery.svg)

- lines: of the net and of all blocks that it is made of, the standard library's too, without blank lines and comments.
  torchvision's: of the function that makes the model and of all classes and functions of its own that this uses,
  without docstrings, comments and what loads trained weights.
- MACs: multiply-accumulates for one input of the size that the file gives.
- sees: pixels, height and width, on which one element of the last map depends (before a global pool or fully connected
  layers); `all`: a global pool on the way lets every element see everything; `-`: the net reads no picture.

| net | paper | lines | torchvision's | parameters | MACs | sees |
|---|---|--:|--:|--:|--:|--:|
"""


def entries() -> list[dict[str, Any]]:
    """The nets of the folder itself, in the order of the index."""
    index: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    return [entry for entry in index if "/" not in entry["file"]]


def summaries() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every entry with the summary of its net."""
    return [(entry, netdsl.load(FOLDER / entry["file"], net=entry["net"]).summary().to_dict()) for entry in entries()]


def readme(nets: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """The text of README.md."""
    theirs = json.loads(COUNTED.read_text(encoding="utf-8"))["lines"]
    return HEAD + "".join(row(entry, summary, theirs.get(entry["net"])) for entry, summary in nets)


def row(entry: dict[str, Any], summary: dict[str, Any], theirs: int | None) -> str:
    """A line of the table."""
    totals = summary["totals"]
    cells = (
        f"[{entry['net']}]({entry['file']})",
        f"{entry['paper']} ({entry['year']})",
        str(lines(entry["file"], entry["net"])),
        str(theirs or ""),
        f"{totals['params']:,}",
        f"{totals['macs']:,}",
        sees(summary["layers"]),
    )
    return f"| {' | '.join(cells)} |\n"


def sees(layers: list[dict[str, Any]]) -> str:
    """The receptive field of the last map larger than 1x1; `all` where a global pool precedes it, or where none is.

    `-` for what is made of no map.
    """
    maps = [number for number, layer in enumerate(layers) if spread(layer["output_shape"])]
    if not maps:
        return "all"
    pools = [layer for layer in layers[: maps[-1]] if layer["op"] == "pool" and not spread(layer["output_shape"])]
    field = layers[maps[-1]]["receptive_field"]
    if field is None:
        return "-"
    return "all" if pools else "x".join(map(str, field))


def spread(shape: list[int]) -> bool:
    """Whether a tensor is a map larger than 1x1."""
    return len(shape) == 3 and shape[1:] != [1, 1]


def lines(file: str, net: str) -> int:
    """Lines of a net and of the blocks that it is made of, without blank lines and comments."""
    known = definitions("".join(with_used(FOLDER / file)))
    needed, waiting = {net}, [net]
    while waiting:
        words = set(re.findall(r"\w+", known[waiting.pop()])) & known.keys() - needed
        needed |= words
        waiting += sorted(words)
    return sum(len([line for line in known[name].splitlines() if line.strip()]) for name in needed)


def with_used(path: Path) -> Iterator[str]:
    """The texts of the files that a program uses, and its own last: its names come first."""
    text = path.read_text(encoding="utf-8")
    for standard, name in re.findall(r'^use "(std/)?(.*)"', text, re.MULTILINE):
        yield from with_used((STANDARD if standard else FOLDER) / name)
    yield text


def definitions(text: str) -> dict[str, str]:
    """The text of each block and net by name, of formatted programs: to the brace that stands alone, or one line."""
    bare = re.sub(r"(?m)\s*#.*$", "", text)
    found = re.finditer(r"^(?:block|net) (\w+)\b(?:.*\}$|(?:.*\n)*?\}$)", bare, re.MULTILINE)
    return {match[1]: match[0] for match in found}


def picture(nets: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """The scatter plot. Of nets at the same place, the first is shown; what has no parameters has no place."""
    points: list[scatter.Point] = []
    for entry, summary in nets:
        macs, params = summary["totals"]["macs"], summary["totals"]["params"]
        if params and not any(abs(macs / p.x - 1) < 0.02 and abs(params / p.y - 1) < 0.02 for p in points):
            points.append(scatter.Point(entry["net"], macs, params, colour(entry["year"])))
    title = "The gallery: multiply-accumulates for one input, and parameters"
    return scatter.svg(points, title, "multiply-accumulates", "parameters", groups())


def colour(year: int) -> str:
    """The colour of a year's group."""
    return next(shade for last, shade in YEARS if year <= last)


def groups() -> list[tuple[str, str]]:
    """Colours and the years that they stand for."""
    lasts = [last for last, _ in YEARS]
    texts = [f"to {lasts[0]}"]
    for before, last in pairwise(lasts):
        first = before + 1
        texts.append(str(last) if first == last else f"from {first}" if last == lasts[-1] else f"{first} to {last}")
    return [(shade, text) for (_, shade), text in zip(YEARS, texts, strict=True)]


def all_torchvision_lines() -> dict[str, int]:
    """The lines of every net that torchvision has."""
    known = {entry["net"]: entry["equals"].partition(":") for entry in entries() if entry["equals"]}
    return {net: torchvision_lines(name) for net, (library, _, name) in known.items() if library == "torchvision"}


def torchvision_lines(name: str) -> int:
    """Lines of code of torchvision's function `name` and of what it uses of torchvision's models and operators."""
    models = importlib.import_module("torchvision.models")
    start = importlib.import_module(attrgetter(name)(models).__module__)
    name = name.rpartition(".")[2]
    needed: dict[tuple[str, str], int] = {}
    waiting = [(start, name)]
    while waiting:
        module, word = waiting.pop()
        found = definition(module, word)
        if found is None or (found[0].__name__, word) in needed:
            continue
        home, node, text = found
        needed[home.__name__, word] = code_lines(node, text)
        used = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
        used |= {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)}
        waiting += [(home, other) for other in sorted(used)]
    return sum(needed.values())


def definition(module: ModuleType, word: str) -> tuple[ModuleType, ast.stmt, str] | None:
    """Where a module's word is defined: module, statement and text, if in torchvision's models or operators."""
    value = getattr(module, word, None)
    home = sys.modules.get(getattr(value, "__module__", ""), module)
    if not re.match(r"torchvision\.(models|ops)\b(?!\._(api|meta))", home.__name__) or LOADING.search(word):
        return None
    found = statements(Path(str(home.__file__))).get(word)
    return (home, *found) if found else None


@cache
def statements(path: Path) -> dict[str, tuple[ast.stmt, str]]:
    """The statements of a file that define a name, each with its text."""
    text = path.read_text(encoding="utf-8")
    found = {}
    for node in ast.parse(text).body:
        targets = [*getattr(node, "targets", ()), *([node.target] if isinstance(node, ast.AnnAssign) else ())]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        lines = text.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
        found |= {name: (node, "".join(lines)) for name in names}
    return found


def code_lines(node: ast.stmt, text: str) -> int:
    """Lines that hold code: no docstrings, no comments, no decorators."""
    rows: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            rows.update(range(token.start[0], token.end[0] + 1))
    for item in ast.walk(node):
        if isinstance(item, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(item) is not None:
            first = item.body[0]
            rows -= set(range(first.lineno - node.lineno + 1, (first.end_lineno or 0) - node.lineno + 2))
    return len(rows)


def main() -> None:
    """Write the files."""
    if sys.argv[1:] == ["--torchvision"]:
        counted = {"version": version("torchvision"), "lines": all_torchvision_lines()}
        COUNTED.write_text(json.dumps(counted, indent=1) + "\n", encoding="utf-8")
    nets = summaries()
    (FOLDER / "README.md").write_text(readme(nets), encoding="utf-8")
    (FOLDER / "gallery.svg").write_text(picture(nets), encoding="utf-8")


if __name__ == "__main__":
    main()
