"""Where an elaboration stands inside one body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netdsl.diagnostics import Frame
from netdsl.elaborate.scope import Scope
from netdsl.elaborate.values import Datum
from netdsl.syntax import ast


@dataclass(slots=True)
class Context:
    """The state of one expansion of a body.

    blocks      the blocks that the definition's file sees.
    it          the current tensor (or family), None before the first.
    address     prefix of layer names: the calls that led here.
    weights     prefix of weight names; differs from `address` inside a call of a shared layer.
    loops       indices of the loops around the statement at hand, as a suffix: `.3.1`.
    local       local names of the body's steps, by identity (`netdsl.elaborate.names`).
    shared      inside a call of a shared layer, the weights that this call has used so far; None outside.
    extra       tensors that the call passes by name, for the block's `input` statements.
    it_name     the name that `as` gave `it`, if it did.
    """

    definition: ast.Definition
    blocks: Mapping[str, ast.Definition]
    scope: Scope
    local: dict[int, str]
    frame: Frame
    it: Datum | None = None
    address: str = ""
    weights: str = ""
    loops: str = ""
    shared: set[str] | None = None
    extra: dict[str, Datum] = field(default_factory=dict)
    it_name: str | None = None

    def layer(self, local: str) -> tuple[str, str]:
        """Names of a layer here, from its local part: of its node, and of what its weights are kept under."""
        return _join(self.address, local), _join(self.weights, local)


def _join(prefix: str, local: str) -> str:
    return f"{prefix}.{local}" if prefix else local
