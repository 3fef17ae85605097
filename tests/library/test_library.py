"""The library as a caller sees it: every mistake is a NetError; NumPy's and PyTorch's values serve as Python's."""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netdsl

TINY = """net Tiny(width = 4, widths = [2]) {
  input image: 3x8x8
  conv width k3 p1 -> relu
  flatten -> fc 10
}
"""
X = np.zeros((1, 3, 8, 8), np.float32)
HUGE = 10**5000

Load = Callable[..., netdsl.Network]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "tiny.net").write_text(TINY)
    return lambda **given: netdsl.load(tmp_path / "tiny.net", **given)


def code(action: Callable[[], object]) -> str:
    """The code of the one mistake that an action makes."""
    with pytest.raises(netdsl.NetError) as caught:
        action()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"net": 3}, "E0615"),
        ({"net": ""}, "E0611"),
        ({"shape": "x"}, "E0615"),
        ({"shape": [("image", (3, 8, 8))]}, "E0615"),
        ({"shape": {3: (3, 8, 8)}}, "E0615"),
        ({"shape": {"image": 3}}, "E0615"),
        ({"shape": {"image": (3, True, 8)}}, "E0615"),
        ({"shape": {"image": (3, 8.0, 8)}}, "E0615"),
        ({"shape": {"image": (3, HUGE, 8)}}, "E0615"),
        ({"shape": {"image": (3, -1, 8)}}, "E0615"),
        ({"shape": {"image": (3, 0, 8)}}, "E0401"),
        ({"shape": {"image": (3, 10**17, 8)}}, "E0905"),
        ({"shape": {"imag": (3, 8, 8)}}, "E0614"),
        ({"limits": 3}, "E0615"),
        ({"training": "yes"}, "E0615"),
        ({"width": None}, "E0401"),
        ({"width": object()}, "E0401"),
        ({"width": HUGE}, "E0910"),
        ({"widths": [HUGE]}, "E0910"),
        ({"width": np.float32(8)}, "E0204"),
        ({"wdith": 8}, "E0613"),
    ],
)
def test_what_load_refuses(load: Load, given: dict[str, Any], expected: str) -> None:
    assert code(lambda: load(**given)) == expected


@pytest.mark.parametrize("path", [None, 3, ["tiny.net"]])
def test_what_is_no_path(path: Any) -> None:
    assert code(lambda: netdsl.load(path)) == "E0615"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (lambda net: net.compile(backend=None), "E0615"),
        (lambda net: net.compile(backend=[]), "E0615"),
        (lambda net: net.compile(backend="nunpy"), "E0701"),
        (lambda net: net.compile(dtype=3), "E0615"),
        (lambda net: net.compile(dtype=None), "E0615"),
        (lambda net: net.compile(dtype=np.float16), "E0703"),
        (lambda net: net.compile(dtype=np.int32), "E0703"),
        (lambda net: net.summary(batch=0), "E0615"),
        (lambda net: net.summary(batch="a"), "E0615"),
        (lambda net: net.summary(batch=True), "E0615"),
        (lambda net: net.summary(batch=HUGE), "E0615"),
        (lambda net: net.summary(depth=-1), "E0615"),
        (lambda net: net.summary(depth="a"), "E0615"),
        (lambda net: net.summary(dtype="float23"), "E0703"),
        (lambda net: net.init_weights(seed=-1), "E0615"),
        (lambda net: net.init_weights(seed="a"), "E0615"),
        (lambda net: net.init_weights(seed=1.5), "E0615"),
        (lambda net: net.run(X, weights=[1]), "E0615"),
        (lambda net: net.run(X, {3: X}), "E0615"),
        (lambda net: net.run(X, net.init_weights(), weights=3), "E0615"),
        (lambda net: net.run(X, image=X, weights=net.init_weights()), "E0615"),
        (lambda net: net.run([[1], [1, 2]], net.init_weights()), "E0615"),
        (lambda net: net.run(X, {**net.init_weights(), "fc.bias": [[1], [1, 2]]}), "E0615"),
        (lambda net: net.run(X.astype(object), net.init_weights()), "E0606"),
        (lambda net: net.run(X, X, net.init_weights()), "E0604"),
        (lambda net: net.run(X, {**net.init_weights(), "fc.bias": "a"}), "E0504"),
    ],
)
def test_what_a_network_refuses(load: Load, action: Callable[[netdsl.Network], object], expected: str) -> None:
    net = load()
    assert code(lambda: action(net)) == expected


def test_numbers_of_numpy_are_numbers(load: Load) -> None:
    plain = load(width=8, shape={"image": (3, 10, 10)})
    for width in (np.int64(8), np.uint8(8), np.array(8)):
        for shape in ((np.int64(3), np.int32(10), 10), np.array([3, 10, 10]), [3, 10, 10]):
            net = load(width=width, widths=np.array([1, 2]), shape={"image": shape})
            assert net.summary().to_dict() == plain.summary().to_dict()
            assert net.compile().source == plain.compile().source
    assert net.summary(batch=np.int64(2)).to_dict() == plain.summary(batch=2).to_dict()
    assert np.array_equal(net.init_weights(np.int64(5))["fc.weight"], plain.init_weights(5)["fc.weight"])


def test_dtypes_are_names_or_those_of_a_library(load: Load) -> None:
    torch = pytest.importorskip("torch")
    net = load()
    for dtype in (np.float64, np.dtype("float64"), torch.float64):
        assert net.compile(dtype=dtype).source == net.compile(dtype="float64").source
    assert net.summary(dtype=torch.bfloat16).to_dict() == net.summary(dtype="bfloat16").to_dict()


def test_a_tensor_of_pytorch_is_an_input(load: Load) -> None:
    torch = pytest.importorskip("torch")
    net = load()
    weights = net.init_weights()
    shown = net.run(torch.ones(1, 3, 8, 8), {name: torch.from_numpy(array) for name, array in weights.items()})
    assert np.array_equal(shown, net.run(np.ones_like(X), weights))
    assert code(lambda: net.run(torch.ones(1, 3, 8, 8, requires_grad=True), weights)) == "E0615"


def test_an_error_passes_between_processes(tmp_path: Path) -> None:
    (tmp_path / "bad.net").write_text("block b { cnov 3 }\nnet A { input x: 3x8x8; b -> b }\n")
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.load(tmp_path / "bad.net")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    (before,), (after,) = caught.value.diagnostics, again.diagnostics
    assert (after.code, after.message, after.help) == (before.code, before.message, before.help)
    assert str(after.primary.span) == str(before.primary.span)


def test_a_summary_prints_as_the_table(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    summary = load().summary()
    print(summary)
    printed = capsys.readouterr().out
    exec(compile("summary", "<prompt>", "single"), {"summary": summary, "__builtins__": builtins})
    assert capsys.readouterr().out == printed, "a prompt shows what print shows"
    assert printed.startswith("Tiny (")
    assert "\ntotal" in printed
    assert "<table" in summary._repr_html_()
    assert summary.to_dict()["totals"]["params"] == 112 + 2570
