"""What the planner hands to the templates: everything that is printed, already as text."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.tails import Tail
from netdsl.codegen.plan import Plan
from netdsl.ir.graph import Value


@dataclass(frozen=True)
class Layer:
    """One layer as printed: a comment, if any, and its statements."""

    note: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """A generated function that makes weights from weights."""

    name: str
    parameters: tuple[str, ...]
    body: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """Everything that the templates print; `plan` says the same as data.

    inputs       parameters of the forward pass.
    settings     constants, by name: dictionaries, by their entries.
    allocations  statements that place the buffers in a workspace's arena of `plan.arena` bytes a sample.
    scratch      elements of memory that a workspace has besides, for one kernel at a time.
    kernels      names of templates, in the order of their use.
    recipes      functions made for this network that prepare weights; `tails` are those that end a layer.
    prepare      layers that run on weights, each with what the forward pass takes from it.
    places       where a workspace has the inputs.
    results      the expressions of the results, channels first.
    """

    plan: Plan
    inputs: tuple[tuple[str, Value], ...]
    settings: tuple[tuple[str, tuple[str, ...]], ...]
    allocations: tuple[str, ...]
    scratch: int
    kernels: tuple[str, ...]
    recipes: tuple[Recipe, ...]
    tails: tuple[Tail, ...]
    prepare: tuple[Layer, ...]
    forward: tuple[Layer, ...]
    places: tuple[str, ...]
    results: tuple[str, ...]
