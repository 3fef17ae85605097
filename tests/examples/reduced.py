"""Example nets at small extents, with weights that leave nothing out."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from equality import EXAMPLES
from public import INDEX

import netdsl

TOO_LARGE = ("AllJoined",)
"""A lecture's net of 1.6 billion weights."""
ENTRIES = [entry for entry in INDEX if entry["net"] not in TOO_LARGE]
FIRST = {entry["file"]: entry for entry in reversed(ENTRIES)}
"""One net of every file: the others of a family are the same blocks, more often."""


def reduced(entry: dict[str, str]) -> netdsl.Network:
    """The net at the size at which it is compared with PyTorch too. Needs the fixture `models` before."""
    import placed
    from test_handwritten import FILES

    name, file = entry["net"], entry["file"]
    for module in FILES:
        case = importlib.import_module(f"handwritten.{module}").CASES.get(name)
        if case:
            return netdsl.load(EXAMPLES / file, net=name, shape=dict(case.shapes), **case.settings)
    usual = {} if "/" in file else {"image": placed.SHAPES.get(name, (3, 75, 91))}
    if name.startswith("VGG"):
        usual = {"image": (3, 47, 61)}
    return netdsl.load(EXAMPLES / file, net=name, shape=usual, **placed.SETTINGS.get(name, {}))


def weights_of(net: netdsl.Network) -> dict[str, Any]:
    """Fresh weights: norms are not the identity, biases not zero.

    In PyTorch's initial scale, which keeps a deep net's answers within what float32 can hold.
    """
    draw = np.random.default_rng(0)
    weights = net.init_weights()
    for name, array in weights.items():
        if name.endswith("running_var"):
            array += draw.uniform(-0.5, 0.5, array.shape).astype(np.float32)
        elif array.ndim == 1:
            array += draw.uniform(-0.2, 0.2, array.shape).astype(np.float32)
        else:
            array /= np.float32(6**0.5)
    return weights
