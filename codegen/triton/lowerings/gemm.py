"""Matrix products: fully connected layers, products of activations; 1x1 convolutions come here too."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from netdsl.codegen.triton.index import atom, decompose
from netdsl.codegen.triton.kernels import Call, GemmKernel
from netdsl.codegen.triton.lowerings.spatial import COLUMN, ROW, Tiled, times
from netdsl.codegen.triton.lowerings.tma import crowded, fits, maps, operands, tail, twin
from netdsl.codegen.triton.place import Coordinate, Place
from netdsl.codegen.triton.planner import Argument, Packed, Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.work import Product
from netdsl.ops.linear import Fc, MatMul
from netdsl.tensor import DType, TensorType

TAKEN = (
    "x",
    "w",
    "w_scale",
    "x_scale",
    "bias",
    "y",
    "parts",
    "counts",
    "rows",
    "step",
    "steps",
    "pixel",
    "part",
    "first",
    "h",
    "v",
    "a",
    "b",
)


def fc(planner: Planner, site: Site) -> None:
    """y = x w^T + bias over the last axis; all axes before it are rows."""
    op = site.op
    assert isinstance(op, Fc)
    type = site.operands[0].type
    lead = type.shape[:-1]
    place = _matrix_place(site.result.type, decompose("row", lead, lead=True))
    product(planner, site, "{}", prod(lead), type.shape[-1], op.out, place)


def product(planner: Planner, site: Site, form: str, rows: int, depth: int, columns: int, place: Place) -> None:
    """`rows` x `depth` per sample times a weight matrix, with bias and tail. `form` is its PyTorch expression."""
    bias = tuple(planner.read(value) for value in site.weights[1:])
    body = planner.body(place, TAKEN)
    text, (scaled, element) = tail(site, body), entering(planner, site)
    spec = GemmKernel(bool(bias), scaled, False, "", "", planner.precision, element, text)
    stem = kernel_stem("gemm", *site.words[1:])
    boxed = fits(planner, site, body, (depth, columns))
    box = replace(place, box=".load([row0, column0])")
    work = Product(
        site.result.type.batch, (1, rows), columns, depth, 1, rows * depth, columns * depth,
        planner.stored(site.operands[0]), maps(body), boxes="rows" if boxed else "", kept=kept(planner, site),
        crowded=crowded(site),
    )  # fmt: skip
    constants = {"N": columns, "K": depth, "XM": depth, "XK": 1, "WN": matrix_width(depth), "WK": 1, "YM": columns}
    count = times(rows, site.result.type)
    call = Call(
        "",
        count,
        work=work,
        form="multiply",
        shape=planner.shape(f"product {rows} x {depth} to {columns}", constants, work),
        twin=twin(planner, site, "gemm_tma", stem, box, TAKEN, bool(bias)) if boxed else "",
        maps=maps(body),
    )
    weights = matrices(planner, site, form)
    reads = (planner.read(site.operands[0]), *weights, *bias, *map(planner.read, operands(body)))
    planner.launch(site, "gemm", stem, spec, reads, call)


def matrices(planner: Planner, site: Site, form: str) -> tuple[Argument, ...]:
    """The weights of a product; where they meet float8, so are they, and the scales of their rows and of it follow."""
    weight, x = site.weights[0], planner.source(site.operands[0])
    if x not in planner.scales:
        return (Packed(weight, f"matrix({form})"),)
    scale = Packed(weight, f"row_scales({form})", "scale")
    return Packed(weight, f"eights({form})"), scale, planner.read(planner.scales[x])


def entering(planner: Planner, site: Site) -> tuple[bool, str]:
    """Whether the operand of a product is float8, and the cast of what is multiplied."""
    scaled = planner.source(site.operands[0]) in planner.scales
    return scaled, "" if scaled else planner.element


def kept(planner: Planner, site: Site) -> DType | None:
    """The element type of a product's result, where it is not that of its operand."""
    stored = planner.stored(site.result)
    return None if stored is planner.stored(site.operands[0]) else stored


def matmul(planner: Planner, site: Site) -> None:
    """One product for each sample and each index of the axes before the matrices."""
    op = site.op
    assert isinstance(op, MatMul)
    a, b = (value.type for value in site.operands)
    result = site.result.type
    *lead, m, n = result.shape
    depth = a.shape[-2] if op.transpose_a else a.shape[-1]
    place = _matrix_place(result, [*decompose("z", lead, lead=True), "row"])
    body = planner.body(place, TAKEN)
    products = prod(lead)
    spec = GemmKernel(
        False,
        False,
        True,
        _matrix_offset(a, products, "XZ"),
        _matrix_offset(b, products, "WZ"),
        planner.precision,
        planner.element,
        site.finish(body, "acc"),
    )
    constants = {
        "XZ": m * depth, "WZ": n * depth, "YZ": m * n, "M": m, "N": n, "K": depth,
        "XM": 1 if op.transpose_a else depth, "XK": m if op.transpose_a else 1,
        "WN": depth if op.transpose_b else 1, "WK": 1 if op.transpose_b else n, "YM": n,
    }  # fmt: skip
    work = Product(
        result.batch, (1, m), n, depth, 1, products * m * depth, products * n * depth, planner.dtype,
        maps(body), products,
    )  # fmt: skip
    call = Call(
        "",
        times(products * m, result),
        work=work,
        form="multiply",
        shape=planner.shape(f"products {products} of {m} x {depth} to {n}", constants, work),
    )
    matrices = tuple(
        Packed(value, "cast({})") if value in planner.constants else value
        for value in map(planner.source, site.operands)
    )
    reads = (*matrices, *map(planner.read, body.parameters))
    planner.launch(site, "gemm", kernel_stem("matmul", *site.words[1:]), spec, reads, call)


def matrix_width(depth: int) -> int:
    """Elements of a row of a weight matrix, as `matrix` in the generated module pads it: a multiple of 16."""
    return max(-(-depth // 16) * 16, 16)


def _matrix_offset(operand: TensorType, products: int, stride: str) -> str:
    """Offset of an operand's matrix in product z, as the beginning of a sum."""
    if operand.batch:
        return f"z * {stride} + "
    return f"z % {products} * {stride} + " if products > 1 else ""


def _matrix_place(type: TensorType, lead: list[str]) -> Place:
    """A tile of rows and columns; `lead` gives the sample and the axes before the last, from `row` and `z`."""
    sample, *others = lead
    if "row" in sample:
        sample = f"{atom(sample)}.to(tl.int64)"
    coordinates = [
        Coordinate(f"{atom(text)}[:, None]", ROW) if "row" in text else Coordinate(text, "")
        for text in (sample, *others)
    ]
    axes = (*coordinates[1:], Coordinate("column[None, :]", COLUMN))
    masks = {ROW: "row_ok[:, None]", COLUMN: "column_ok[None, :]"}
    return Tiled(type, coordinates[0], axes, "offset", masks)
