"""Operators with weights: a module, and a call of it."""

from __future__ import annotations

from netdsl.codegen.torch.site import Site, options, pairs, short
from netdsl.ir.graph import Node
from netdsl.ops.activation import PRelu
from netdsl.ops.attention import Attention, parts
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.linear import Fc
from netdsl.ops.norm import BatchNorm, GroupNorm, LayerNorm
from netdsl.ops.recurrent import Recurrent
from netdsl.ops.sequence import Embed
from netdsl.ops.style import ModConv


def conv(op: Conv, at: Site, x: str) -> str:
    """nn.Conv1d or nn.Conv2d; padding that differs from side to side goes before it."""
    rank = len(op.kernel)
    even = op.padding[:rank] == op.padding[rank:]
    made = at.module(
        f"nn.Conv{rank}d({at.types[0].shape[0]}, {op.out}, {short(op.kernel)}"
        + options(
            stride=short(op.stride) if any(s > 1 for s in op.stride) else None,
            padding=short(op.padding[:rank]) if even and any(op.padding) else None,
            dilation=short(op.dilation) if any(d > 1 for d in op.dilation) else None,
            groups=op.groups if op.groups > 1 else None,
            bias=None if op.bias else False,
        )
        + ")"
    )
    return f"{made}({x if even else f'F.pad({x}, {pairs(op.padding)})'})"


def upconv(op: UpConv, at: Site, x: str) -> str:
    """nn.ConvTranspose1d or 2d; what it cuts from one side only is cut after it."""
    rank = len(op.kernel)
    even = op.padding[:rank] == op.padding[rank:]
    made = at.module(
        f"nn.ConvTranspose{rank}d({at.types[0].shape[0]}, {op.out}, {short(op.kernel)}"
        + options(
            stride=short(op.stride) if any(s > 1 for s in op.stride) else None,
            padding=short(op.padding[:rank]) if even and any(op.padding) else None,
            output_padding=short(op.outpad) if any(op.outpad) else None,
            groups=op.groups if op.groups > 1 else None,
            bias=None if op.bias else False,
            dilation=short(op.dilation) if any(d > 1 for d in op.dilation) else None,
        )
        + ")"
    )
    y = f"{made}({x})"
    return y if even else f"F.pad({y}, {pairs(tuple(-side for side in op.padding))})"


def fc(op: Fc, at: Site, x: str) -> str:
    """nn.Linear; with the weight of another module alone, its product."""
    if at.tied:
        return f"F.linear({x}, {at.module(at.tied)}.weight)"
    return f"{at.module(_linear(op, at.types[0].shape[-1]))}({x})"


def embed(op: Embed, at: Site, x: str) -> str:
    """nn.Embedding."""
    return f"{at.module(_table(op))}({x})"


def holder(node: Node) -> str | None:
    """What makes the module of a layer whose weight others may take, without the rest of it: a bias, a look-up."""
    match node.op:
        case Embed():
            return _table(node.op)
        case Fc(bias=True):
            return _linear(node.op, node.operands[0].type.shape[-1])
    return None


def _linear(op: Fc, features: int) -> str:
    return f"nn.Linear({features}, {op.out}{options(bias=None if op.bias else False)})"


def _table(op: Embed) -> str:
    return f"nn.Embedding({op.vocab}, {op.width})"


def batch_norm(op: BatchNorm, at: Site, x: str) -> str:
    """PyTorch's batch norm without its counter, which no safetensors file of ours has."""
    made = f"{at.helper('BatchNorm')}({at.types[0].shape[0]}{_settings(op.eps, op.affine)})"
    return f"{at.module(made)}({x})"


def group_norm(op: GroupNorm, at: Site, x: str) -> str:
    """nn.GroupNorm."""
    made = f"nn.GroupNorm({op.groups}, {at.types[0].shape[0]}{_settings(op.eps, op.affine)})"
    return f"{at.module(made)}({x})"


def layer_norm(op: LayerNorm, at: Site, x: str) -> str:
    """nn.LayerNorm over the last axis, to which another is moved."""
    name = "elementwise_affine"
    affine = options(eps=None if op.eps == 1e-5 else op.eps, **{name: None if op.affine else False})
    made = at.module(f"nn.LayerNorm({at.types[0].shape[op.axis]}{affine})")
    axis = op.axis + 1
    return f"{made}({x})" if axis == at.rank - 1 else f"{made}({x}.movedim({axis}, -1)).movedim(-1, {axis})"


def prelu(op: PRelu, at: Site, x: str) -> str:
    """nn.PReLU."""
    return f"{at.module(f'nn.PReLU({1 if op.single else at.types[0].shape[0]})')}({x})"


def attention(op: Attention, at: Site, x: str, *others: str) -> str:
    """The class `Attention` of the module: projections, and PyTorch's own attention between them."""
    types, mask = parts(at.types)
    width = types[0].shape[0] if types[0].rank == 3 else types[0].shape[1]
    inner = types[-1].shape[0] if types[-1].rank == 3 else types[-1].shape[1]
    made = at.module(
        f"{at.helper('Attention')}({width}, {op.heads}"
        + options(
            memory=inner if inner != width else None,
            bias=None if op.bias else False,
            scale=None if op.scaled else 1.0,
            causal=True if op.causal else None,
        )
        + ")"
    )
    named = [*([f"memory={others[0]}"] if len(types) > 1 else []), *([f"hidden={others[-1]}"] if mask else [])]
    return f"{made}({', '.join((x, *named))})"


def _settings(eps: float, affine: bool) -> str:
    return options(eps=None if eps == 1e-5 else eps, affine=None if affine else False)


def recurrent(op: Recurrent, at: Site, x: str, *before: str) -> str:
    """The class `Lstm` or `Gru` of the module, around PyTorch's own function."""
    kind = at.helper(type(op).__name__)
    made = at.module(f"{kind}({at.types[0].shape[1]}, {op.out}{options(reverse=op.reverse or None)})")
    return f"{made}({', '.join((x, *before))})" + ("" if op.state else "[0]")


def modconv(op: ModConv, at: Site, x: str, style: str) -> str:
    """The class `ModConv` of the module."""
    window = f"{op.kernel}, {op.stride}, {pairs(op.padding)}"
    more = options(
        transposed=op.transposed or None,
        demodulate=None if op.demodulate else False,
        eps=None if op.eps == 1e-8 else op.eps,
    )
    made = at.module(f"{at.helper('ModConv')}({at.types[0].shape[0]}, {op.out}, {window}{more})")
    return f"{made}({x}, {style})"
