"""Fresh weights: pinned bits, streams that depend on names alone, and the distributions that they claim."""

import numpy as np
import pytest

from netdsl import codes
from netdsl.diagnostics import NetError
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.limits import Limits
from netdsl.ops.base import Init
from netdsl.weights import CHUNK, initialise


def graph_of(*parameters: tuple[str, tuple[int, ...], Init]) -> Graph:
    builder = GraphBuilder("tiny")
    for name, shape, init in parameters:
        builder.parameter(name, shape, init)
    return builder.finish()


UNIFORM = ("u", (2, 2), Init("uniform", 0.5))
NORMAL = ("n", (4,), Init("normal", 0.02))
ONES = ("c", (3,), Init("constant", 1.0))


PINNED = {
    "u": ["0x1.8c41980000000p-4", "0x1.7c70bc0000000p-3", "0x1.56e4f40000000p-3", "-0x1.50b8d60000000p-2"],
    "n": ["0x1.6767260000000p-7", "0x1.15decc0000000p-7", "-0x1.0cea940000000p-5", "0x1.e6bd7a0000000p-8"],
}


def test_the_bits_are_pinned() -> None:
    """Written down once (x86-64, NumPy 2): any machine and any NumPy that disagrees makes other weights."""
    weights = initialise(graph_of(UNIFORM, NORMAL, ONES), seed=7)
    assert all(array.dtype == np.float32 for array in weights.values())
    assert [bits.hex() for bits in weights["u"].ravel().tolist()] == PINNED["u"]
    assert [bits.hex() for bits in weights["n"].tolist()] == PINNED["n"]
    assert weights["c"].tolist() == [1, 1, 1]


def test_a_stream_depends_on_seed_and_name_alone() -> None:
    alone = initialise(graph_of(NORMAL), 3)["n"]
    among = initialise(graph_of(UNIFORM, ONES, NORMAL), 3)
    np.testing.assert_array_equal(alone, among["n"])
    assert not np.array_equal(alone, initialise(graph_of(NORMAL), 4)["n"])
    twins = initialise(graph_of(UNIFORM, ("u2", *UNIFORM[1:])), 3)
    assert not np.array_equal(twins["u"], twins["u2"])


def test_the_distributions() -> None:
    """Over 300,000 draws the standard error of a mean is std / 550; five of them are allowed."""
    shape = (3, 100_003)  # several chunks and a ragged one
    assert np.prod(shape) % CHUNK
    weights = initialise(graph_of(("u", shape, Init("uniform", 0.5)), ("n", shape, Init("normal", 2.0))))
    u, n = weights["u"].astype(float), weights["n"].astype(float)
    assert abs(u).max() <= 0.5 < abs(u).max() + 1e-4
    assert abs(u.mean()) < 5 * u.std() / 547
    assert abs(u.std() - 0.5 / np.sqrt(3)) < 1e-3
    assert abs(n.mean()) < 5 * 2 / 547
    assert abs(n.std() - 2) < 0.02
    assert abs((abs(n) < 2).mean() - 0.6827) < 0.01
    assert len(np.unique(u)) > 290_000  # no chunk repeats another


def test_too_many_weights_are_refused_before_any_is_made() -> None:
    graph = graph_of(("huge", (2**20, 2**20), Init("constant", 0.0)))
    with pytest.raises(NetError) as caught:
        initialise(graph)
    assert [d.code for d in caught.value.diagnostics] == [codes.WEIGHTS_TOO_LARGE]
    with pytest.raises(NetError):
        initialise(graph_of(NORMAL), limits=Limits(weight_bytes=15))
    assert initialise(graph_of(NORMAL), limits=Limits(weight_bytes=16))
