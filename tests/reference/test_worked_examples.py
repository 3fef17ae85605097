"""Convolutions that somebody else worked by hand."""

import numpy as np

from netdsl.ir.build import GraphBuilder
from netdsl.ops.conv import Conv
from netdsl.reference.interpret import interpret
from netdsl.tensor import TensorType


def test_convolution_of_dumoulin_and_visin() -> None:
    """Figure 1.1 of "A guide to convolution arithmetic for deep learning" (2016, arXiv:1603.07285).

    The kernel is not flipped: with a flipped one the first element would be 18 and not 12.
    """
    x = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    w = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]
    builder = GraphBuilder("figure")
    image = builder.input("image", TensorType((1, 5, 5)))
    (y,) = builder.node(Conv(1, (3,), bias=False), (image,), name="conv")
    graph = builder.result("y", y).finish()
    weights = {"conv.weight": np.array(w, np.float32)[None, None]}
    (result,) = interpret(graph, {"image": np.array(x, np.float32)[None, None]}, weights)
    np.testing.assert_array_equal(result, [[[[12, 12, 17], [10, 17, 19], [9, 6, 14]]]])
    flipped = {"conv.weight": weights["conv.weight"][..., ::-1, ::-1].copy()}
    (other,) = interpret(graph, {"image": np.array(x, np.float32)[None, None]}, flipped)
    assert other[0, 0, 0, 0] == 18
