"""Convolutions. Each algorithm is a kernel of its own; which one a layer gets is decided here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netdsl.codegen.numpy.calls import Call, Window
from netdsl.codegen.numpy.storage import LAST, View, last, stored_shape
from netdsl.codegen.numpy.tuned import Tuned, layer_class
from netdsl.ir.graph import Node
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.window import extent

NOT_TUNED = Tuned()
BLOCK_BYTES = 1 << 20
"""Scratch of one block: it should stay in a core's second-level cache (1 to 2 MB) while it is worked on."""
ELEMENT_BYTES = 4
"""Blocks are sized for float32; float64 modules take the same counts, so that both read alike."""


WINOGRAD_BYTES = 3 << 19
"""Scratch of one block of a Winograd convolution, which has three products in a row on it."""
PRODUCT_RATE = 130e9
TRANSFORM_RATE = 90e9
COPY_RATE = 20e9
"""Of one core as measured: operations a second of a product and of Winograd's thin ones, bytes moved a second."""


MOST_SCRATCH = 1 << 24
"""Elements of scratch that a measured block may have, as `tune.py.j2` has it."""
MOST_IMAGES = 64
"""Whole images of a block."""
LONGEST_RUN = 8192
"""Elements of the longest inner loop of a depthwise kernel: a row of input, weights and result stay in cache."""


@dataclass(frozen=True)
class Rows:
    """How many positions a block has."""

    rows: int

    @property
    def name(self) -> str:
        """Of the constant."""
        return f"K1_R{self.rows}"


@dataclass(frozen=True)
class Groups:
    """For packing: groups of channels."""

    groups: int


@dataclass(frozen=True)
class Repeat:
    """For packing: how often a row of weights is repeated, for outputs that are neighbours."""

    repeat: int


@dataclass(frozen=True)
class Size:
    """For packing: outputs of a tile, along each axis."""

    size: int


@dataclass(frozen=True)
class Tiles:
    """A Winograd convolution: outputs of a tile along each axis, then a block as in `Block`, and zeros around."""

    size: int
    images: int
    rows: int
    padding: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of the constant: the window in the `.net` shorthand, tiles, images and rows."""
        window = Window((3, 3), (1, 1), (1, 1), self.padding)
        return f"{window.name}_F{self.size}_{Block(self.images, self.rows).name}"


@dataclass(frozen=True)
class Block:
    """How much a convolution works on at a time: `images` whole ones, or `rows` rows of one."""

    images: int
    rows: int

    @property
    def name(self) -> str:
        """As part of the name of a constant."""
        return f"N{self.images}" if self.images > 1 else f"R{self.rows}"


def conv(op: Conv, node: Node, tuned: Tuned = NOT_TUNED) -> Call:
    """One of five kernels: pointwise, depthwise, grouped, Winograd's, or the general one (im2col).

    What `tuned` says of such a layer comes before the model. Raises NetError (E0706) where no layer can be like that.
    """
    x, weight = node.inputs[:2]
    (result,) = node.outputs
    channels = x.type.shape[0]
    arguments = (last(x),)
    extents = stored_shape(x.type, LAST), stored_shape(result.type, LAST)
    if prod(op.kernel) == 1 and prod(op.stride) == 1 and not any(op.padding) and op.groups == 1:
        _, given = tuned.choice(layer_class(*extents), "conv_1x1")
        rows = given[0] if given else max(64, BLOCK_BYTES // (ELEMENT_BYTES * (channels + op.out)))
        packed = View(weight, pack="pack_1x1")
        return Call("conv_1x1", (*arguments, packed), (last(result),), Rows(rows), crew=True, tailed=True)

    expand = "[:, None]" if x.type.rank == 2 else ""
    kernel, stride, dilation = (two_axes(v, 1) for v in (op.kernel, op.stride, op.dilation))
    padding = both_ends(op.padding)
    height, width = two_axes(result.type.shape[1:], 1)
    depthwise = op.groups == channels == op.out
    kinds: tuple[str, ...] = ("conv_im2col",) if op.groups == 1 and not depthwise else ()
    if kinds and not expand and kernel == (3, 3) and {*stride, *dilation} == {1}:
        kinds = ("conv_im2col", "conv_winograd")
    lead = (1,) if expand else ()
    layer = layer_class(*((*lead, *shape) for shape in extents), kernel, stride, dilation, padding)
    chosen, numbers = tuned.choice(layer, *kinds) if kinds else ("", ())
    if "conv_winograd" in kinds and chosen != "conv_im2col":
        tiles = _tiles(numbers, height, padding) if numbers else best_tiles(op, node)
        if numbers and tiles is None:
            raise tuned.refuse(layer, chosen)
        if tiles is not None:
            return _within(winograd(op, node, tiles), tuned if numbers else None, layer)
    # What a block holds for each output position: its window, as a row of the matrix. Depthwise ones hold none.
    per_position = channels if depthwise else channels * prod(kernel) + (op.out if op.groups > 1 else 0)
    images, rows = numbers if numbers else block(height, width, per_position)
    if rows > height or images > MOST_IMAGES or (images > 1 and rows < height):
        raise tuned.refuse(layer, chosen)
    halo_rows = (rows - 1) * stride[0] + extent(kernel[0], dilation[0])
    halo_columns = (width - 1) * stride[1] + extent(kernel[1], dilation[1])
    halo = halo_rows * halo_columns * channels if any(padding) else 0
    matrix = 0 if depthwise else rows * width * per_position
    if depthwise:
        repeat = run(width, channels) if stride[1] == 1 else 1
        kind, packed = "conv_depthwise", View(weight, pack="pack_depthwise", pack_spec=Repeat(repeat))
    elif op.groups > 1:
        kind, packed = "conv_grouped", View(weight, pack="pack_groups", pack_spec=Groups(op.groups))
    else:
        kind, packed = "conv_im2col", View(weight, pack="pack_taps")
    call = Call(
        kind,
        (last(x).then(expand), packed),
        (last(result).then(expand),),
        Block(images, rows),
        Window(kernel, stride, dilation, padding),
        crew=True,
        scratch=images * (matrix + halo),
        tailed=True,
        expand=expand,
    )
    return _within(call, tuned if numbers else None, layer)


def _within(call: Call, tuned: Tuned | None, layer: str) -> Call:
    """A call whose scratch memory has a bound, where a file chose its block (E0706)."""
    if tuned and call.scratch > MOST_SCRATCH:
        raise tuned.refuse(layer, call.function)
    return call


def best_tiles(op: Conv, node: Node) -> Tiles | None:
    """F(4,3) or F(2,3), whichever the model finds cheaper; None where im2col is."""
    channels = node.inputs[0].type.shape[0]
    features, height, width = node.outputs[0].type.shape
    choices = {size: _seconds(size, height, width, channels, features) for size in (2, 4)}
    size = min(choices, key=choices.__getitem__)
    if choices[size] >= _seconds(1, height, width, channels, features):
        return None
    down, across = -(-height // size), -(-width // size)
    tiles = max(WINOGRAD_BYTES // (ELEMENT_BYTES * 2 * (size + 2) ** 2 * max(channels, features)), 64)
    if tiles >= down * across:
        return Tiles(size, min(-(-tiles // (down * across)), MOST_IMAGES), down * size, both_ends(op.padding))
    parts = -(-down // max(tiles // across, 1))
    return Tiles(size, 1, -(-down // parts) * size, both_ends(op.padding))


def _tiles(numbers: tuple[int, ...], height: int, padding: tuple[int, ...]) -> Tiles | None:
    """Tile, images and rows as they were measured; None where no layer of this height can have them."""
    size, images, rows = numbers
    whole = -(-height // size) * size
    sound = size in (2, 4) and rows % size == 0 and rows <= whole and images <= MOST_IMAGES
    return Tiles(size, images, rows, padding) if sound and (images == 1 or rows == whole) else None


def winograd(op: Conv, node: Node, tiles: Tiles) -> Call:
    """Tiles by Winograd's algorithm."""
    channels = node.inputs[0].type.shape[0]
    features, _, width = node.outputs[0].type.shape
    points, across = (tiles.size + 2) ** 2, -(-width // tiles.size)
    halo = (tiles.rows + 2) * (across * tiles.size + 2) * channels
    packed = View(node.inputs[1], pack="pack_tiles", pack_spec=Size(tiles.size))
    return Call(
        "conv_winograd",
        (last(node.inputs[0]), packed, View(node.inputs[2]) if op.bias else None),
        (last(node.outputs[0]),),
        tiles,
        crew=True,
        scratch=tiles.images * (2 * points * (tiles.rows // tiles.size) * across * max(channels, features) + halo),
        tailed=True,
        biased=True,
    )


def _seconds(size: int, height: int, width: int, channels: int, features: int) -> float:
    """The time of a 3x3 convolution in tiles of size x size outputs; im2col has size 1 and no transforms."""
    if size == 1:
        product = 2 * height * width * 9 * channels * features / PRODUCT_RATE
        return product + ELEMENT_BYTES * 2 * 9 * height * width * channels / COPY_RATE
    tiles, points = -(-height // size) * -(-width // size), (size + 2) ** 2
    product = 2 * points * tiles * channels * features / (PRODUCT_RATE * min(1, (tiles + 16) / 64))
    transforms = 2 * points * tiles * (points * channels + size**2 * features) / TRANSFORM_RATE
    moved = ELEMENT_BYTES * 2 * tiles * (points * channels + size**2 * features) / COPY_RATE
    return product + transforms + moved


def upconv(op: UpConv, node: Node) -> Call:
    """Each tap's product, added where it belongs."""
    x, weight = node.inputs[:2]
    (result,) = node.outputs
    expand = "[:, None]" if x.type.rank == 2 else ""
    kernel, stride, dilation = (two_axes(v, 1) for v in (op.kernel, op.stride, op.dilation))
    window = Window(kernel, stride, dilation, both_ends(op.padding))
    return Call(
        "conv_transposed",
        (last(x).then(expand), View(weight, pack="pack_transposed", pack_spec=Groups(op.groups))),
        (last(result).then(expand),),
        window=window,
        crew=True,
        scratch=prod(x.type.shape[1:]) * op.out,
        tailed=True,
        expand=expand,
    )


def block(height: int, width: int, per_position: int) -> tuple[int, int]:
    """Images and rows of a block of at most BLOCK_BYTES (one row at least); blocks of an image are about equal."""
    positions = BLOCK_BYTES // (ELEMENT_BYTES * per_position)
    if positions >= height * width:
        return min(positions // (height * width), MOST_IMAGES), height
    blocks = -(-height // max(positions // width, 1))
    return 1, -(-height // blocks)


def run(width: int, channels: int) -> int:
    """How many neighbouring columns a depthwise kernel takes together: a divisor of the width."""
    return next(n for n in range(width, 0, -1) if width % n == 0 and (n == 1 or n * channels <= LONGEST_RUN))


def two_axes(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
    """Values for height and width, from those of one axis or two."""
    return values if len(values) == 2 else (fill, *values)


def both_ends(padding: tuple[int, ...]) -> tuple[int, ...]:
    """Padding as top, left, bottom, right, from that of one axis or two."""
    return padding if len(padding) == 4 else (0, padding[0], 0, padding[1])
