"""Every template, compiled ahead of time at its boundary shapes: no spills, and tensor cores where they belong."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from netdsl.codegen.render import SHARED, environment
from netdsl.codegen.triton import aot
from netdsl.codegen.triton.backend import PACKAGE, compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import (
    LRN,
    AdaptivePool,
    Add,
    Attention,
    BatchNorm,
    Conv,
    Fc,
    Flatten,
    GroupNorm,
    LayerNorm,
    LogSoftmax,
    Lstm,
    MatMul,
    Mean,
    Nms,
    Pool,
    Relu,
    Softmax,
    TopK,
    Unpool,
    UpConv,
    Upsample,
)
from netdsl.ops.base import Op
from netdsl.tensor import DType, TensorType

pytest.importorskip("torch")
pytest.importorskip("triton")

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="interprets, compiles nothing"),
]

ARCHS = [80, 89, 90]
PARTS = ("module", "products", "split", "model", "script", "profile", "tune", "float8", "helpers", *SHARED)


def products() -> Graph:
    """Matrix kernels at the least extents of tensor cores, next to them, and at large ones; with and without tails."""
    builder = GraphBuilder("Products")
    convolutions: tuple[tuple[int, tuple[int, int], Op], ...] = (
        (3, (16, 16), Conv(64, (7,), (2,), (3,))),
        (16, (8, 8), Conv(16, (3,), padding=(1,))),
        (17, (8, 8), Conv(15, (3,), padding=(1,))),
        (256, (14, 14), Conv(512, (3,), (2,), (1,))),
        (512, (7, 7), Conv(2048, (1,))),
    )
    for index, (channels, spatial, op) in enumerate(convolutions):
        x = builder.input(f"x{index}", TensorType((channels, *spatial)))
        (y,) = builder.node(op, (x,), name=f"conv{index}")
        if index % 2 == 0:
            other = builder.input(f"other{index}", y.type)
            (y,) = builder.node(Add(), (y, other), name=f"add{index}")
            (y,) = builder.node(Relu(), (y,), name=f"relu{index}")
        builder.result(f"y{index}", y)
    for depth, columns in ((16, 16), (17, 15)):
        x = builder.input(f"x.{depth}", TensorType((depth,)))
        (y,) = builder.node(Fc(columns), (x,), name=f"fc{depth}")
        builder.result(f"fc{depth}", y)
    x = builder.input("tokens", TensorType((3, 197, 64)))
    (y,) = builder.node(MatMul(False, True), (x, x), name="scores")
    return builder.result("scores", y).finish()


def others() -> Graph:
    """One net with every template that is no matrix kernel, reductions short and long, along both orders."""
    builder = GraphBuilder("Others")
    x = builder.input("x", TensorType((64, 57, 55)))
    line = builder.input("line", TensorType((9, 20000)))
    pooled, at = builder.node(Pool("max", (3,), (2,), (1,), indices=True), (x,), name="indices")
    (y,) = builder.node(Unpool((3,), (2,), (1,), to=(57, 55)), (pooled, at), name="unpool")
    builder.result("unpool", y)
    cases: tuple[Op, ...] = (
        Conv(64, (3,), padding=(1,), groups=64),
        Conv(128, (5,), (2,), (2,), groups=64),
        Pool("max", (3,), (2,), (1,)),
        Pool("avg", (3,), (2,), (1,), ceil=True),
        AdaptivePool("avg", (7, 7)),
        Pool("avg", whole=True),
        LRN(5),
        GroupNorm(32),
        GroupNorm(1),
        Softmax(0),
        Upsample("bilinear", (2,)),
        Upsample(to=(71, 70)),
    )
    for index, op in enumerate(cases):
        (y,) = builder.node(op, (x,), name=f"layer{index}")
        builder.result(f"y{index}", y)
    for index, op in enumerate((Softmax(), LogSoftmax(0), LayerNorm(), LayerNorm(axis=0), Mean())):
        (y,) = builder.node(op, (line,), name=f"line{index}")
        builder.result(f"z{index}", y)
    tokens = builder.input("tokens", TensorType((65, 128)))
    (y,) = builder.node(Attention(2), (tokens,), name="attention")
    builder.result("attended", y)
    (y,) = builder.node(Lstm(64), (tokens,), name="lstm")
    builder.result("remembered", y)
    (y,) = builder.node(Conv(64, (7,), (2,), (3,)), (builder.input("picture", TensorType((3, 58, 58))),), name="stem")
    (y,) = builder.node(Pool("max", (3,), (2,), (1,)), (y,), name="stem.pool")
    builder.result("stem", y)
    boxes, scores = builder.input("boxes", TensorType((70, 4))), builder.input("scores", TensorType((70,)))
    (kept,) = builder.node(Nms(20), (boxes, scores), name="nms")
    best, _ = builder.node(TopK(20), (scores,), name="best")
    builder.result("kept", kept)
    return builder.result("best", best).finish()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aot")


@cache
def generated(folder: Path, name: str, dtype: DType) -> ModuleType:
    path = folder / f"{name}_{dtype.label}.py"
    path.write_text(
        compile_graph(
            {"products": products, "others": others, "boxes": boxes, "separables": separables}[name](), dtype
        ).source
    )
    return aot.load_module(path)


def sound(item: aot.Compiled) -> bool:
    waits = item.arch >= 90  # for the kernel before it: it may be launched early
    return item.stack == 0 and item.shared <= aot.SHARED_LIMIT[item.arch] and item.waits is waits


@pytest.mark.parametrize(
    ("dtype", "arch"),
    [
        *((DType.FLOAT16, arch) for arch in ARCHS),
        *((dtype, 90) for dtype in (DType.BFLOAT16, DType.TF32, DType.FLOAT32)),
    ],
)
def test_matrix_kernels_fit_and_use_tensor_cores(folder: Path, dtype: DType, arch: int) -> None:
    kernels = aot.distinct(generated(folder, "products", dtype), [1, 256], arch)
    items = [aot.compile_launch(launched, arch) for launched, _ in kernels if "BK" in dict(launched.constants)]
    by_pointers = {"conv_packed_add_relu", "conv", "conv_add_relu", "gemm_add_relu", "gemm", "matmul"}
    with_twins = {"conv_packed_add_relu", "conv_tma", "conv_add_relu", "gemm_add_relu_tma", "gemm", "matmul"}
    twins = arch == 90 and dtype is not DType.FLOAT32
    assert {item.kernel for item in items} == (with_twins if twins else by_pointers)
    assert [item for item in items if not sound(item)] == []
    for item in items:
        if dtype is DType.FLOAT32:
            assert item.wgmma == item.mma == 0, item
        elif arch < 90:
            assert item.mma > 0, item
        else:
            # wgmma multiplies 64 rows at least; a product of fewer is left to mma, but weights have as many.
            rows = 64 if item.kernel.endswith("_tma") else int(item.tile.split("x")[0])
            assert (item.wgmma > 0) == (rows >= 64), item


def boxes() -> Graph:
    """Every kernel that fetches boxes: rows and windows, stride 2, a tail with a map, few rows and a depth to share."""
    builder = GraphBuilder("Boxes")
    x = builder.input("x", TensorType((64, 56, 56)))
    (y,) = builder.node(Pool("max", (2,)), (x,), name="pool")
    for index, op in enumerate((Conv(128, (3,), padding=(1,)), Conv(256, (1,)), Conv(256, (4,), (2,), (1,)))):
        (y,) = builder.node(op, (y,), name=f"conv{index}")
        (y,) = builder.node(Relu(), (y,), name=f"relu{index}")
    (z,) = builder.node(Conv(256, (3,), padding=(1,)), (y,), name="inside")
    (y,) = builder.node(Add(), (z, y), name="add")
    (y,) = builder.node(Relu(), (y,), name="relu")
    (z,) = builder.node(Conv(256, (1,)), (y,), name="one")
    (y,) = builder.node(Conv(256, (1,)), (y,), name="other")
    (y,) = builder.node(Add(), (z, y), name="sum")
    (up,) = builder.node(UpConv(64, (2,), (2,)), (y,), name="up")
    builder.result("up", up)
    (y,) = builder.node(Conv(128, (3,), padding=(1,)), (y,), name="last")
    (y,) = builder.node(Pool("max", (2,)), (y,), name="last.pool")
    (y,) = builder.node(Flatten(), (y,), name="flatten")
    (y,) = builder.node(Fc(1000), (y,), name="fc")
    return builder.result("y", y).finish()


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16, DType.TF32])
def test_kernels_that_fetch_boxes_fit_and_use_wgmma(folder: Path, dtype: DType) -> None:
    module = generated(folder, "boxes", dtype)
    items = [item for item in aot.sweep(module, [90], [1, 128]) if item.kernel.endswith("_tma")]
    single = {"conv_tma", "conv_relu_tma", "conv_add_relu_tma", "gemm_tma", "upconv_tma"}
    pairs = {"conv_relu_gemm_relu_tma", "conv_sum_tma", "conv_pool_tma"}
    others = {"gemm_relu_tma", "gemm_add_tma"} if dtype is DType.TF32 else pairs
    assert {item.kernel for item in items} == single | others
    for item in items:
        assert sound(item), item
        assert item.wgmma, item
        assert item.tma > 2, item
    share, slow = aot.without_wgmma(module, items)
    assert (share, slow) == (1.0, {})


def separables() -> Graph:
    """Depthwise convolutions and 1x1 ones on them; a norm before a 1x1 one."""
    builder = GraphBuilder("Separables")
    for channels, extent, kernel, stride, columns in ((40, 28, 5, 1, 80), (192, 14, 3, 1, 100)):
        x = builder.input(f"x{channels}", TensorType((channels, extent, extent)))
        first = Conv(channels, (kernel,), (stride,), (kernel // 2,), groups=channels)
        (y,) = builder.node(first, (x,), name=f"first{channels}")
        (y,) = builder.node(Relu(), (y,), name=f"relu{channels}")
        (y,) = builder.node(Conv(columns, (1,)), (y,), name=f"second{channels}")
        builder.result(f"y{channels}", y)
    x = builder.input("x", TensorType((256, 28, 28)))
    (y,) = builder.node(Pool("max", (3,), (1,), (1,)), (x,), name="pool")
    builder.result("pooled", y)
    (y,) = builder.node(BatchNorm(), (y,), name="norm")
    (y,) = builder.node(Relu(), (y,), name="relu")
    (y,) = builder.node(Conv(128, (1,)), (y,), name="bottleneck")
    return builder.result("y", y).finish()


@pytest.mark.parametrize(("dtype", "arch"), [*((DType.FLOAT16, arch) for arch in ARCHS), (DType.FLOAT32, 89)])
def test_kernels_of_pairs_by_pointers_fit_and_use_tensor_cores(folder: Path, dtype: DType, arch: int) -> None:
    batches = [128] if dtype is DType.FLOAT32 else [1, 128]
    kernels = aot.distinct(generated(folder, "separables", dtype), batches, arch)
    pairs = [launched for launched, _ in kernels if "_gemm" in launched.kernel.__name__]
    assert len(pairs) >= len(batches)
    for launched in pairs:
        item = aot.compile_launch(launched, arch)
        assert sound(item), item
        assert bool(item.wgmma) is (arch == 90), item
        assert bool(item.mma) is (arch < 90 and dtype is DType.FLOAT16), item


@pytest.mark.parametrize("arch", [89, 90])
def test_kernels_of_float8_fit_and_use_tensor_cores(folder: Path, arch: int) -> None:
    kernels = aot.distinct(generated(folder, "boxes", DType.FLOAT8), [8], arch)
    eights = [launched for launched, _ in kernels if "w_scale" in dict(launched.signature)]
    assert len(eights) >= 3
    for launched in eights:
        kinds = dict(launched.signature)
        assert all("fp8e4nv" in kinds[name] for name in "xw"), "so the matrix units multiply e4m3 by e4m3"
        item = aot.compile_launch(launched, arch)
        assert sound(item), item
        assert item.wgmma if arch == 90 else item.mma, item


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("dtype", [DType.FLOAT16])
def test_other_kernels_fit(folder: Path, dtype: DType, arch: int) -> None:
    module = generated(folder, "others", dtype)
    items = list(aot.sweep(module, [arch], [2]))
    assert [item for item in items if not sound(item)] == []


def test_the_two_nets_use_every_template() -> None:
    templates = environment(PACKAGE).list_templates(filter_func=lambda name: name.endswith(".py.j2"))
    kernels = {name.removesuffix(".py.j2") for name in templates} - set(PARTS)
    plans = "".join(compile_graph(graph(), DType.FLOAT16).plan for graph in (products, others, boxes, separables))
    assert kernels == {name for name in kernels if f" = {name} {{" in plans}


def test_the_command_lists_every_kernel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = GraphBuilder("Small")
    x = builder.input("x", TensorType((16, 8, 8)))
    (y,) = builder.node(Conv(16, (3,)), (x,), name="conv")
    path = folder / "small.py"
    compile_graph(builder.result("y", y).finish(), DType.FLOAT16).write(path)
    assert aot.main([str(path), "--arch", "90", "--batch", "2"]) == 0
    shown = capsys.readouterr()
    assert "conv_tma 1x2x8x64x16  conv" in shown.out
    assert "0 with spills" in shown.err


class Driver:
    """What Triton asks of a GPU while it compiles for one."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> object:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)


def test_kernels_are_compiled_before_the_first_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, triton = pytest.importorskip("torch"), pytest.importorskip("triton")
    builder = GraphBuilder("Early")
    (y,) = builder.node(Relu(), (builder.input("x", TensorType((16,))),), name="relu")
    (y,) = builder.node(Fc(16), (y,), name="fc")
    path = folder / "early.py"
    compile_graph(builder.result("y", y).finish(), DType.FLOAT16).write(path)
    module, device = aot.load_module(path), torch.device("meta")
    seen: list[str] = []
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    monkeypatch.setattr(triton.knobs.compilation, "listener", lambda src, **_: seen.append(src.name))
    model = module.Model({name: torch.empty(s, device=device) for name, s in module.WEIGHTS.items()}, device, 90)
    model.launch = module.launch_early
    for _ in range(2):
        inputs = tuple(torch.empty((1, *s), dtype=dtype, device=device) for s, _, dtype in module.INPUTS.values())
        model._compile(module.Workspace(1, device), inputs, module.empty_results(1, device), 1)
    assert sorted(seen) == ["gemm_tma", "relu"]
