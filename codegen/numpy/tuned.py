"""How convolutions are best computed on somebody's machine, as a module measured it (`python MODULE.py --tune`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netdsl import codes, files
from netdsl.codegen import tuned
from netdsl.codegen.names import comment
from netdsl.tensor import DType

FORMAT = "netdsl tuned blocks 1"
ABOUT = ("net", "dtype", "processor", "numpy")
ENTRY = ("layer", "kernel", "block", "before_ms", "after_ms")
BLOCKS = {"conv_1x1": ("rows",), "conv_im2col": ("images", "rows"), "conv_winograd": ("size", "images", "rows")}
"""The kernels that have a choice, and the numbers of it."""
MOST = 2**20
"""What the numbers of a block may be."""


@dataclass(frozen=True)
class Choice:
    """A kernel with its block: Winograd's tile first, then whole images, then rows."""

    kernel: str
    block: tuple[int, ...]


@dataclass(frozen=True)
class Tuned:
    """The choices of one file, by `layer_class`. `used` collects those that a net has."""

    path: str = ""
    net: str = ""
    dtype: str = ""
    choices: Mapping[str, Choice] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def choice(self, layer: str, *kernels: str) -> tuple[str, tuple[int, ...]]:
        """Kernel and block of a class of layers, of the kernels that it can have; nothing where none was measured.

        Raises NetError (E0706) for another kernel.
        """
        found = self.choices.get(layer)
        if found is None:
            return "", ()
        if found.kernel not in kernels:
            raise self.refuse(layer, found.kernel)
        self.used.add(layer)
        return found.kernel, found.block

    def refuse(self, layer: str, kernel: str) -> Exception:
        """A choice that a layer cannot have (E0706)."""
        message = f"{self.path}: no layer `{comment(layer)}` can be computed by {kernel} in such a block"
        return files.refuse(codes.TUNED_ELSEWHERE, message)

    def check(self, net: str, dtype: DType) -> None:
        """After a net was lowered: refuse (E0706) a file of another net, or with layers that this one does not have."""
        if not self.path:
            return
        tuned.check_net(self.path, (self.net, self.dtype), net, dtype, "blocks")
        for layer in self.choices:
            if layer not in self.used:
                message = f"{self.path} holds a choice for `{comment(layer)}`, a layer that net {net} does not have"
                raise files.refuse(codes.TUNED_ELSEWHERE, message, "tune the module of this net, compiled as it is now")


def read(path: str) -> Tuned:
    """The choices of a file. Raises NetError: E0601 (it cannot be read), E0705 (it is no such file)."""
    found = tuned.content(path, FORMAT, ABOUT)
    entries = found.get("layers")
    if not isinstance(entries, list):
        raise tuned.not_tuned(path, "its layers are not a list")
    choices: dict[str, Choice] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or set(entry) != set(ENTRY):
            raise tuned.not_tuned(path, f"entry {number} of its layers does not hold {', '.join(ENTRY)}")
        layer, kernel, block = entry["layer"], entry["kernel"], entry["block"]
        names = BLOCKS.get(kernel) if isinstance(kernel, str) else None
        sound = names and isinstance(layer, str) and isinstance(block, dict) and set(block) == set(names)
        if not names or not sound or not all(tuned.is_whole(n) and 0 < n <= MOST for n in block.values()):
            raise tuned.not_tuned(path, f"entry {number} of its layers names no kernel with the numbers of its block")
        if layer in choices:
            raise tuned.not_tuned(path, f"entry {number} of its layers repeats `{comment(layer)}`")
        choices[layer] = Choice(kernel, tuple(block[name] for name in names))
    net, dtype, *_ = (comment(found[name]) for name in ABOUT)
    return Tuned(path, net, dtype, choices)


def layer_class(x: tuple[int, ...], out: tuple[int, ...], *window: tuple[int, ...]) -> str:
    """What layers must share to share a choice, as `tune.py.j2` has it: extents channels last, and the window."""
    return " ".join("x".join(map(str, numbers)) for numbers in (x, out, *window))
