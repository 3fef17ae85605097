"""What fills the templates: for each, a frozen dataclass with everything that is decided before it is printed.

Two kernels with equal specifications are one function. Extents are no part of the kernels that many layers share: those
take them as constants of the launch.
"""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.triton.work import Tables, Tile, Work


@dataclass(frozen=True)
class BodyText:
    """Statements on a tile: the pointers they read, the lines, and the variable to be stored."""

    parameters: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    result: str = "acc"
    helpers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConvKernel:
    """`conv_implicit_gemm.py.j2`. `element` is the cast of what is multiplied, `precision` that of `tl.dot`.

    scaled  operands are float8: sums are multiplied by the scales of both.
    packed  a step of the depth spans kernel positions and channels together, for few input channels.
    spread  of a transposed convolution whose windows do not overlap: its taps take the place of groups.
    """

    bias: bool
    scaled: bool
    packed: bool
    precision: str
    element: str
    body: BodyText
    spread: bool = False


@dataclass(frozen=True)
class GemmKernel:
    """`gemm.py.j2`. `batched`: a product for each z; `x_z`, `w_z` then begin the offsets of its matrices.

    head  what is done to a tile of x as it is read.
    """

    bias: bool
    scaled: bool
    batched: bool
    x_z: str
    w_z: str
    precision: str
    element: str
    body: BodyText
    head: BodyText = BodyText(result="x_tile")


@dataclass(frozen=True)
class AttentionKernel:
    """`attention.py.j2`. `mask` is the offset of a tile's scores in the mask, `mask_ok` which of them there are.

    Both are empty where there is no mask.
    """

    causal: bool
    mask: str
    mask_ok: str
    precision: str
    element: str


@dataclass(frozen=True)
class TmaKernel:
    """`conv_tma.py.j2`, `gemm_tma.py.j2`, `upconv_tma.py.j2`. `located`: the tail asks where elements of a tile lie."""

    bias: bool
    scaled: bool
    precision: str
    located: bool
    body: BodyText


@dataclass(frozen=True)
class ChainKernel:
    """`conv_gemm_tma.py.j2`. `first` is the tail of the convolution, `body` that of the product on its tile."""

    first_bias: bool
    bias: bool
    located: bool
    first: BodyText
    body: BodyText


@dataclass(frozen=True)
class SumKernel:
    """`conv_sum_tma.py.j2`. `biases` are how many of both products have one."""

    biases: int
    located: bool
    body: BodyText


@dataclass(frozen=True)
class SeparableKernel:
    """`depthwise_gemm.py.j2`. `first` is the tail of the depthwise convolution, `body` that of the product on it."""

    first_bias: bool
    bias: bool
    precision: str
    element: str
    first: BodyText
    body: BodyText


@dataclass(frozen=True)
class ConvPoolKernel:
    """`conv_pool.py.j2`. `first` is the tail of the convolution, `body` that of the maximum in windows of `size`."""

    bias: bool
    size: int
    precision: str
    element: str
    first: BodyText
    body: BodyText


@dataclass(frozen=True)
class PoolTmaKernel:
    """`conv_pool_tma.py.j2`. `first` is the tail of the convolution, `body` that of the maximum in windows of 2 x 2."""

    bias: bool
    located: bool
    element: str
    first: BodyText
    body: BodyText


@dataclass(frozen=True)
class DepthwiseKernel:
    """`depthwise.py.j2`."""

    bias: bool
    body: BodyText


@dataclass(frozen=True)
class PoolKernel:
    """`pool.py.j2`. `counts_padding`: padding counts in the mean; any element beats `start` and `other`."""

    title: str
    function: str
    adaptive: bool
    indices: bool
    counts_padding: bool
    start: str
    other: str
    combine: str
    better: str
    body: BodyText


@dataclass(frozen=True)
class PointwiseKernel:
    """`pointwise.py.j2`. `target` is the offset at which element `i` is stored."""

    title: str
    target: str
    body: BodyText


@dataclass(frozen=True)
class UnpoolKernel:
    """`unpool.py.j2`. `at` is where the index of element `i` stands, `target` where the element goes."""

    title: str
    at: str
    target: str


@dataclass(frozen=True)
class ReduceKernel:
    """`reduce.py.j2`. `x_row`, `x_step` and `y_row` are offsets; `depth` elements become one."""

    title: str
    function: str
    depth: int
    start: str
    combine: str
    x_row: str
    x_step: str
    y_row: str
    body: BodyText


@dataclass(frozen=True)
class SoftmaxKernel:
    """`softmax.py.j2`. `whole`: a row fits one tile."""

    title: str
    log: bool
    whole: bool
    depth: int
    x_row: str
    x_step: str
    y_row: str
    y_step: str


@dataclass(frozen=True)
class NormalizeKernel:
    """`normalize.py.j2`. `channel` is the element of weight and bias that belongs to each element of a tile.

    `channel_guard` is the mask as an argument, where that element may lie outside.
    """

    title: str
    affine: bool
    whole: bool
    depth: int
    eps: float
    channel: str
    channel_guard: str
    x_row: str
    x_step: str
    y_row: str
    y_step: str


@dataclass(frozen=True)
class TopKKernel:
    """`top_k.py.j2`. Element `i` stands at `place` of the line from `line` on, its elements `step` apart."""

    title: str
    place: str
    line: str
    length: int
    step: int
    count: int
    target: str


@dataclass(frozen=True)
class NmsKernel:
    """`nms.py.j2`. `held`: elements of a tile that holds all boxes. `boxes_row`: 0 if all samples have the same."""

    title: str
    boxes: int
    held: int
    count: int
    boxes_row: int
    iou: float
    least: float


@dataclass(frozen=True)
class RecurrenceKernel:
    """`recurrence.py.j2`: a step of an `lstm` or a `gru`. `initial`: the state before the first is given."""

    cell: str
    reverse: bool
    initial: bool
    precision: str
    element: str


@dataclass(frozen=True)
class Shape:
    """Extents, windows and strides that layers share: the constants of their kernel. `tables` are their tiles.

    name    such as `conv 3x3 64x56x56 to 64x56x56`.
    tables  for each target, from so many samples on, this tile.
    """

    name: str
    constants: tuple[tuple[str, int], ...]
    tables: Tables

    def tile(self, target: int, samples: int) -> Tile | None:
        """The tile for so many samples; None where both of a pair are faster apart."""
        return [tile for least, tile in dict(self.tables)[target] if samples >= least][-1]


@dataclass(frozen=True)
class Call:
    """What a launch passes besides the values it reads and writes (`plan.Launch`).

    programs   how many programs run: an expression in `batch`; empty where the function of the module decides it.
    count      rows or elements of the result: an expression in `batch`; the one argument that is known at run time.
    constants  constants of the kernel.
    work       what the cost model asks; by default what is read and written (`Planner.launch`).
    form       the function of the module that makes the launch: `run`, or `convolve`, `spread`, `multiply`,
               `chain`, `add_products`, `separable`, `pool_products` or `pool_boxes`.
    shape      of a matrix product: its constants and tiles.
    twin       the kernel that takes over where the tile has a box; empty if there is none.
    maps       how many of the last operands are of the result's size: the twin fetches them as boxes.
    widest     elements per sample of the largest tensor, where the kernel counts elements in 32 or 64 bits; else 0.
    steps      how often it is launched, where that is more than once: the kernel takes `step`, and FIRST as a constant.
    apart      of two layers in one: the calls that take its place where it has no tile.
    """

    programs: str
    count: str
    constants: tuple[tuple[str, float], ...] = ()
    work: Work | None = None
    form: str = "run"
    shape: Shape | None = None
    twin: str = ""
    maps: int = 0
    widest: int = 0
    steps: int = 0
    apart: tuple[Call, ...] = ()

    def tile(self, target: int, batch: int) -> Tile | None:
        """The tile for a batch, if it takes one."""
        return self.shape.tile(target, max(self.work.samples * batch, 1)) if self.shape and self.work else None
