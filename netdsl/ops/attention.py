"""Attention: every place of a sequence takes from all places of a sequence, by how well they fit."""

from __future__ import annotations

from math import prod
from typing import ClassVar, NamedTuple

from netdsl.ops.base import (
    ZEROS,
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    Weight,
    attr,
    common_batch,
    feature_map,
    he_uniform,
    operator,
    require_at_least,
    require_float,
    require_rank,
)
from netdsl.tensor import DType, TensorType, shape_text

SCORE = 5
"""Operations for each score of a softmax."""


class Parts(NamedTuple):
    """The operands by what they are for."""

    tensors: Types
    mask: TensorType | None


def parts(inputs: Types) -> Parts:
    """A last operand of truth values is the mask."""
    if len(inputs) > 1 and inputs[-1].dtype is DType.BOOL:
        return Parts(inputs[:-1], inputs[-1])
    return Parts(inputs, None)


def require_mask(mask: TensorType | None, index: int, queries: int, keys: int) -> None:
    """Refuse a mask that has neither one value for each key nor one for each query and key."""
    if mask is not None and mask.shape not in ((keys,), (queries, keys)):
        wanted = f"{keys} keys, or {queries}x{keys} queries and keys"
        raise ShapeError(f"the mask has a value for each of {wanted}, but it is {shape_text(mask.shape)}", index)


def require_heads(heads: int, features: int) -> None:
    """Refuse heads that do not divide the features."""
    require_at_least(1, (heads,), "the number of heads")
    if features % heads:
        raise ShapeError(f"heads={heads} does not divide its {features} features", 0)


def score_operations(mask: TensorType | None, causal: bool, scaled: bool) -> int:
    """Operations for each score besides its multiply-accumulates."""
    return SCORE + scaled + causal + (mask is not None)


@operator
class Attention(Op):
    """Multi-head attention with its projections, as `torch.nn.MultiheadAttention`: `length x features` stays so.

    Queries come from `it`, keys and values from `it` too, or from another sequence: `attention(memory)`. In each head
    `softmax(q k^T / sqrt(features / heads)) v`; `unscaled` leaves the root out. A feature map counts as the sequence of
    its positions. With `causal`, place i takes from places up to i. A mask of truth values, `attention(mask=hidden)`,
    one for each key or for each query and key, hides what is true; a query that sees nothing gets zeros. Weights have
    PyTorch's names: `in_proj_weight` for queries, keys and values in this order (`q_proj_weight`, `k_proj_weight` and
    `v_proj_weight` for a memory of other width), `in_proj_bias`, `out_proj.weight` and `out_proj.bias`.

    Cost: four projections with as many multiply-accumulates per element as there are features (keys and values: of the
    memory), then scores and sums of values, each with `features` for every query and key, hidden ones counted; a bias
    adds one operation per element; 5 more operations per score and head for the softmax, and 1 each for the root,
    `causal` and a mask.
    """

    word: ClassVar[str] = "attention"
    operands: ClassVar[tuple[int, int | None]] = (1, 3)
    leads: ClassVar[bool] = True
    named: ClassVar[tuple[str, ...]] = ("mask",)

    heads: int = attr(AttrKind.INT, "heads, each with its part of the features", default=1)
    causal: bool = attr(AttrKind.FLAG, "take from earlier places alone", default=False, flag="causal")
    scaled: bool = attr(AttrKind.FLAG, "scores as they are", default=True, flag="unscaled")
    bias: bool = attr(AttrKind.FLAG, "no bias", default=True, flag="nobias")

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`in_proj_weight: 3*features x features`, `out_proj.weight`, and biases unless `nobias`."""
        width, inner = features(inputs[0]), features(parts(inputs).tensors[-1])
        init = he_uniform(width)
        if inner == width:
            into = [Weight("in_proj_weight", (3 * width, width), init)]
        else:
            into = [
                Weight("q_proj_weight", (width, width), init),
                Weight("k_proj_weight", (width, inner), he_uniform(inner)),
                Weight("v_proj_weight", (width, inner), he_uniform(inner)),
            ]
        out = Weight("out_proj.weight", (width, width), init)
        if not self.bias:
            return (*into, out)
        return (*into, Weight("in_proj_bias", (3 * width,), ZEROS), out, Weight("out_proj.bias", (width,), ZEROS))

    def resolve(self, inputs: Types) -> Op:
        """Nothing is implied, but the operands must be sequences."""
        tensors, _ = parts(inputs)
        if len(tensors) > 2:
            raise ShapeError("takes one memory, and a mask of truth values", 2)
        for index, operand in enumerate(tensors):
            require_rank(operand, (2, 3), "a sequence (length x features) or a feature map", index)
        return self

    def infer(self, inputs: Types) -> Types:
        """The type of `it`."""
        tensors, mask = parts(inputs)
        require_float(tensors)
        require_heads(self.heads, features(tensors[0]))
        require_mask(mask, len(tensors), length(tensors[0]), length(tensors[-1]))
        return (tensors[0]._replace(batch=common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Four projections, scores, and sums of values."""
        tensors, mask = parts(inputs)
        rows = [max(operand.batch, 1) for operand in (tensors[0], tensors[-1], outputs[0])]
        width, inner = features(tensors[0]), features(tensors[-1])
        queries, keys = length(tensors[0]), length(tensors[-1])
        projected = (rows[0] + rows[2]) * queries * width * width + 2 * rows[1] * keys * width * inner
        macs = projected + 2 * rows[2] * queries * keys * width
        scores = rows[2] * self.heads * queries * keys * score_operations(mask, self.causal, self.scaled)
        biases = ((rows[0] + rows[2]) * queries + 2 * rows[1] * keys) * width if self.bias else 0
        return Cost(macs, 2 * macs + scores + biases)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """One sequence and two, every mask, maps, a memory of other width, lengths around a tile."""
        x, memory, wide = TensorType((7, 12)), TensorType((5, 12)), TensorType((5, 9))
        return (
            Sample("single", cls(), (x,)),
            Sample("heads", cls(3), (x,)),
            Sample("causal", cls(2, causal=True), (TensorType((17, 8)),)),
            Sample("unscaled", cls(2, scaled=False, bias=False), (TensorType((7, 6)),)),
            Sample("memory", cls(4), (x, memory)),
            Sample("wide", cls(3), (x, wide)),
            Sample("wide_nobias", cls(3, bias=False), (x, wide)),
            Sample("masked", cls(3), (x, TensorType((7,), DType.BOOL))),
            Sample("masked_memory", cls(2), (x, memory, TensorType((7, 5), DType.BOOL))),
            Sample("map", cls(2), (feature_map(6, 3, 5),)),
            Sample("queries", cls(2), (TensorType((3, 12), batch=0), x)),
            Sample("tiles", cls(2, causal=True), (TensorType((33, 20)),)),
        )


def features(operand: TensorType) -> int:
    """Features of a sequence, channels of a map."""
    return operand.shape[0] if operand.rank == 3 else operand.shape[-1]


def length(operand: TensorType) -> int:
    """Places of a sequence, positions of a map."""
    return prod(operand.shape[1:]) if operand.rank == 3 else operand.shape[0]


@operator
class Attend(Op):
    """Attention between projected sequences: `softmax(s q k^T) v` in each head, s = 1 / sqrt(features / heads).

    Takes q, k and v beside each other in one operand, or q and then k and v beside each other; a mask of truth values
    comes last. Made of `attention` by a pass. Cost: twice the features in multiply-accumulates for each query and key;
    5 operations per score and head for the softmax, and 1 each for s, `causal` and a mask.
    """

    word: ClassVar[str] = "attend"
    operands: ClassVar[tuple[int, int | None]] = (1, 3)
    written: ClassVar[bool] = False

    heads: int = attr(AttrKind.INT, "heads, each with its part of the features", default=1)
    causal: bool = attr(AttrKind.FLAG, "take from earlier places alone", default=False, flag="causal")
    scaled: bool = attr(AttrKind.FLAG, "scores as they are", default=True, flag="unscaled")

    def infer(self, inputs: Types) -> Types:
        """`T x 3E -> T x E`, or `T x E, S x 2E -> T x E`."""
        tensors, mask = parts(inputs)
        require_float(tensors)
        for index, operand in enumerate(tensors):
            require_rank(operand, (2,), "a sequence (length x features)", index)
        q, width = tensors[0], tensors[0].shape[-1]
        if len(tensors) > 2 or (len(tensors) == 1 and width % 3):
            raise ShapeError("takes q, k and v beside each other, or q and then k and v", 0)
        if len(tensors) == 2 and tensors[1].shape[-1] != 2 * width:
            raise ShapeError(f"keys and values beside each other have {2 * width} features", 1)
        width = width // 3 if len(tensors) == 1 else width
        require_heads(self.heads, width)
        require_mask(mask, len(tensors), q.shape[0], tensors[-1].shape[0])
        return (TensorType((q.shape[0], width), q.dtype, common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Scores, and sums of values."""
        tensors, mask = parts(inputs)
        pairs = max(outputs[0].batch, 1) * outputs[0].shape[0] * tensors[-1].shape[0]
        macs = 2 * pairs * outputs[0].shape[1]
        return Cost(macs, 2 * macs + self.heads * pairs * score_operations(mask, self.causal, self.scaled))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """One sequence and two, every mask, one side the network's own, lengths around a tile."""
        q, kv = TensorType((7, 6)), TensorType((5, 12))
        return (
            Sample("packed", cls(), (TensorType((7, 9)),)),
            Sample("heads", cls(3), (TensorType((5, 27)),)),
            Sample("unscaled", cls(2, scaled=False), (TensorType((7, 12)),)),
            Sample("memory", cls(2), (q, kv)),
            Sample("causal_memory", cls(causal=True), (q, kv)),
            Sample("causal_queries", cls(3, causal=True), (TensorType((3, 6)), TensorType((19, 12)))),
            Sample("keys_hidden", cls(2), (q, kv, TensorType((5,), DType.BOOL))),
            Sample("pairs_hidden", cls(2, causal=True), (TensorType((7, 12)), TensorType((7, 7), DType.BOOL))),
            Sample("own_queries", cls(), (TensorType((7, 6), batch=0), kv)),
            Sample("own_memory", cls(3), (q, TensorType((5, 12), batch=0))),
            *(
                Sample(f"tiles_{n}", cls(1, causal=n % 2 == 0), (TensorType((n, 12)), TensorType((n + 1, 24))))
                for n in (1, 15, 16, 17)
            ),
            Sample("tiles_deep", cls(), (TensorType((5, 17)), TensorType((33, 34)))),
        )
