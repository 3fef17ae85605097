"""Wrong weights and inputs: one error that lists all of them."""

from pathlib import Path

import numpy as np
import pytest

import netdsl
from netdsl import codes
from netdsl.analysis.vocabulary import index_limits
from netdsl.arrayfile import read_input
from netdsl.diagnostics import Diagnostic, NetError
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Embed, Flatten
from netdsl.ops.base import ONES, ZEROS
from netdsl.reference.interpret import interpret
from netdsl.source import Source, Span
from netdsl.tensor import DType, TensorType
from netdsl.weights import check_inputs, check_weights


def graph() -> Graph:
    builder = GraphBuilder("Tiny", Span(Source("tiny.net", "net Tiny {}"), 0, 3))
    builder.input("image", TensorType((3, 8, 8)))
    builder.input("boxes", TensorType((4,), batch=5))
    builder.input("words", TensorType((7,), DType.INT64))
    builder.input("mask", TensorType((7,), DType.BOOL))
    builder.parameter("conv.weight", (4, 3, 3, 3), ZEROS)
    builder.parameter("conv.bias", (4,), ZEROS)
    builder.parameter("bn.weight", (4,), ONES)
    return builder.finish()


WEIGHTS = {
    "conv.weight": np.zeros((4, 3, 3, 3), np.float32),
    "conv.bias": np.zeros(4, np.float16),
    "bn.weight": np.zeros(4),
}
INPUTS = {
    "image": np.zeros((2, 3, 8, 8), np.float32),
    "boxes": np.zeros((10, 4), np.float16),
    "words": np.zeros((2, 7), np.int32),
    "mask": np.zeros((2, 7), bool),
}


def found(error: pytest.ExceptionInfo[NetError]) -> list[tuple[str, str]]:
    def name(diagnostic: Diagnostic) -> str:
        return diagnostic.message.split("`")[1]

    return [(d.code, name(d)) for d in error.value.diagnostics]


def test_right_ones_pass() -> None:
    check_weights(graph(), WEIGHTS)
    assert check_inputs(graph(), INPUTS) == 2
    assert check_inputs(graph(), INPUTS | {"image": np.zeros((2, 3, 8, 8))}, np.float64) == 2


def test_every_wrong_weight_is_listed() -> None:
    wrong = {"conv.weight": np.zeros((4, 3, 5, 5), np.float32), "conv.bias": np.zeros(4, int), "fc\x1b.w": np.zeros(1)}
    with pytest.raises(NetError) as caught:
        check_weights(graph(), wrong)
    assert found(caught) == [
        (codes.WEIGHT_SHAPE, "conv.weight"),
        (codes.WEIGHT_DTYPE, "conv.bias"),
        (codes.MISSING_WEIGHT, "bn.weight"),
        (codes.EXTRA_WEIGHT, "fc\\u001b.w"),
    ]
    assert "is 4x3x5x5; Tiny needs 4x3x3x3" in str(caught.value)
    helps = [d.help for d in caught.value.diagnostics]
    assert helps[2] == "`netdsl init tiny.net --net Tiny -o weights.safetensors` makes fresh weights"


def test_every_wrong_input_is_listed() -> None:
    wrong = {
        "image": np.zeros((3, 8, 8), np.float32),
        "boxes": np.zeros((11, 4)),
        "words": np.zeros((2, 7), np.float32),
        "picture": np.zeros(3),
    }
    with pytest.raises(NetError) as caught:
        check_inputs(graph(), wrong)
    assert found(caught) == [
        (codes.INPUT_SHAPE, "image"),
        (codes.INPUT_DTYPE, "boxes"),
        (codes.INPUT_SHAPE, "boxes"),
        (codes.INPUT_DTYPE, "words"),
        (codes.MISSING_INPUT, "mask"),
        (codes.EXTRA_INPUT, "picture"),
    ]
    assert caught.value.diagnostics[0].help == "add the axis of samples: `x[None]`"


@pytest.mark.parametrize(
    ("name", "array", "code"),
    [
        ("image", np.zeros((2, 3, 8, 8)), codes.INPUT_DTYPE),  # float64 would be rounded
        ("image", np.zeros((2, 3, 8, 8), np.uint8), codes.INPUT_DTYPE),  # a picture that nobody divided by 255
        ("image", np.zeros((2, 3, 8, 8), complex), codes.INPUT_DTYPE),
        ("image", np.float32(3), codes.INPUT_SHAPE),
        ("image", np.zeros((0, 3, 8, 8), np.float32), codes.INPUT_SHAPE),
        ("image", np.zeros((2, 8, 8, 3), np.float32), codes.INPUT_SHAPE),
        ("image", np.zeros((3, 3, 8, 8), np.float32), codes.INPUT_SHAPE),  # three samples beside two
        ("words", np.zeros((2, 7), np.uint64), codes.INPUT_DTYPE),
        ("mask", np.zeros((2, 7), np.int64), codes.INPUT_DTYPE),
    ],
)
def test_one_wrong_input(name: str, array: np.ndarray, code: str) -> None:
    with pytest.raises(NetError) as caught:
        check_inputs(graph(), INPUTS | {name: array})
    assert [d.code for d in caught.value.diagnostics] == [code]


def sentences(vocab: int = 5) -> Graph:
    """Words that reach two tables, one of them through a rearrangement; pages that reach none."""
    builder = GraphBuilder("Sentences")
    words = builder.input("words", TensorType((4, 2), DType.INT64))
    pages = builder.input("pages", TensorType((3,), DType.INT64))
    (wide,) = builder.node(Embed(2 * vocab, 3), (words,), name="wide")
    (flat,) = builder.node(Flatten(), (words,), name="flat")
    (narrow,) = builder.node(Embed(vocab, 3), (flat,), name="narrow")
    for name, value in (("wide", wide), ("narrow", narrow), ("pages", pages)):
        builder.result(name, value)
    return builder.finish()


def test_the_smallest_table_that_an_input_reaches_bounds_it() -> None:
    assert index_limits(sentences()) == {"words": 5}
    assert index_limits(graph()) == {}


@pytest.mark.parametrize(("index", "fits"), [(0, True), (4, True), (5, False), (-1, False), (2**40, False)])
def test_indices_are_checked_against_their_table(index: int, fits: bool) -> None:
    words = np.zeros((2, 4, 2), np.int64)
    words[1, 2, 1] = index
    given = {"words": words, "pages": np.full((2, 3), 99)}
    if fits:
        assert check_inputs(sentences(), given) == 2
        return
    with pytest.raises(NetError, match=f"`words` holds {index}, but its table has rows 0 to 4") as caught:
        check_inputs(sentences(), given)
    assert [d.code for d in caught.value.diagnostics] == [codes.INDEX_OUTSIDE]


def test_an_index_that_nobody_checked_makes_nan() -> None:
    words = np.array([[[0, 4], [3, 5], [-1, 2], [1, 1]]])
    weights = {"wide.weight": np.ones((10, 3), np.float32), "narrow.weight": np.ones((5, 3), np.float32)}
    given = {"words": words, "pages": np.zeros((1, 3), np.int64)}
    wide, narrow, _ = interpret(sentences(), given, weights)
    assert np.isnan(wide[0, :, :, 0]).tolist() == [[False, False], [False, False], [True, False], [False, False]]
    assert np.isnan(narrow[0, :, 0]).tolist() == [False, False, False, True, True, False, False, False]


@pytest.mark.parametrize(
    ("array", "message", "help"),
    [
        (np.zeros((2, 8, 9, 3), np.float32), "2x8x9x3", "`x.transpose(0, 3, 1, 2)`"),
        (np.zeros((2, 3, 8, 9), np.uint8), "uint8, not float32", "/ 255`"),
        (np.zeros((2, 3, 8, 9), np.int64), "int64, not float32", "`.astype(numpy.float32)`"),
    ],
)
def test_pictures_as_other_libraries_have_them(tmp_path: Path, array: np.ndarray, message: str, help: str) -> None:
    path = tmp_path / "n.net"
    path.write_text("net N {\n input x: 3x8x9\n conv 2 k1\n}")
    net = netdsl.load(path)
    with pytest.raises(NetError) as caught:
        net.run(array, net.init_weights())
    (mistake,) = caught.value.diagnostics
    assert message in mistake.message
    assert help in str(mistake.help)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [("x.npz", b"PK\3\4" + bytes(99), "an archive of several"), ("x.jpg", b"\xff\xd8\xff" + bytes(99), "and no .png")],
)
def test_files_that_are_no_npy(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(NetError, match=message):
        read_input(str(path), TensorType((3, 8, 9)))
