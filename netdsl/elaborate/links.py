"""Chains: each link turns the current tensor into a new one. Branches, skips, loops and conditions are links too."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence

from netdsl import codes
from netdsl.diagnostics import Label
from netdsl.elaborate import calls
from netdsl.elaborate.bounds import least_layers
from netdsl.elaborate.caller import Caller
from netdsl.elaborate.context import Context
from netdsl.elaborate.layers import Operand
from netdsl.elaborate.mend import mend_skip
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.values import POISON, Datum, Family, Poison, kind
from netdsl.ir.graph import Value
from netdsl.ops.each import Each, Regroup
from netdsl.ops.elementwise import Add
from netdsl.source import Span
from netdsl.syntax import ast
from netdsl.tensor import shape_text

_TENSOR_NAME = re.compile(r"[ksdpg][0-9]+(x[0-9]+)*\Z")


class Linker(Caller):
    """Expands chains. A mistake in one link is reported, and the rest of its chain works on POISON."""

    @abstractmethod
    def mistake(self, mistake: Mistake, context: Context) -> None:
        """Report a mistake."""

    @abstractmethod
    def bind(self, target: ast.Target, value: Datum, context: Context, what: str) -> None:
        """Give a name, or a member of a family, its value."""

    def chain(self, chain: ast.Chain, context: Context) -> None:
        """Expand one chain: each link turns `it` into a new one."""
        links = chain.links
        self.spend("statements", len(links), chain.span, context)
        for place, link in enumerate(links):
            if isinstance(link, ast.Naming):
                continue
            following = links[place + 1] if place + 1 < len(links) else None
            naming = following if isinstance(following, ast.Naming) else None
            try:
                for target in naming.targets if naming is not None else ():
                    context.scope.check_new(target)
                results = self._link(link, place == 0, naming, context)
                context.it_name = None
                if naming is not None:
                    self._name_results(naming, results, link, context)
                elif len(results) > 1:
                    raise calls.unnamed_results(len(results), link.span)
                context.it = results[0]
            except Mistake as mistake:
                self.mistake(mistake, context)
                context.it = POISON
                if naming is not None:
                    for target in naming.targets:
                        if context.scope.find(target.name) is None:
                            context.scope.set(target.name, POISON, target.span)

    def _name_results(self, naming: ast.Naming, results: Sequence[Datum], link: ast.Link, context: Context) -> None:
        if len(results) == 1 and isinstance(results[0], Poison):
            results = [POISON] * len(naming.targets)
        if len(naming.targets) != len(results):
            raise calls.wrong_count(naming, len(results), link.span)
        for target, result in zip(naming.targets, results, strict=True):
            self.bind(target, result, context, "as")
        if len(naming.targets) == 1 and not naming.targets[0].keys:
            context.it_name = naming.targets[0].name

    def _link(self, link: ast.Link, first: bool, naming: ast.Naming | None, context: Context) -> Sequence[Datum]:
        match link:
            case ast.Step():
                return self._step(link, first, naming, context)
            case ast.Branches():
                return self._branches(link, naming, context)
            case ast.Skip():
                return (self._skip(link, naming, context),)
            case ast.Repeat():
                self._repeat(link, context)
            case ast.For():
                self._for(link, context)
            case ast.If():
                self._if(link, context)
            case ast.Reference():
                if not first:
                    raise calls.tensor_in_chain(link.span)
                value = self.evaluate(link.value, context)
                if not isinstance(value, Value | Family | Poison):
                    raise Mistake(codes.BAD_OPERANDS, f"a chain begins with a tensor, not {kind(value)}", link.span)
                return (value,)
            case ast.Check():
                self._check(link, context)
            case ast.Each():
                return (self._each(link, naming, context),)
            case ast.Naming():
                pass
        return (self.current(link.span, context),)

    def _check(self, check: ast.Check, context: Context) -> None:
        value = self.current(check.span, context)
        extents = self.extents(check.shape, context)
        if isinstance(value, Poison) or extents is None:
            return
        if not isinstance(value, Value):
            raise Mistake(codes.SHAPE_CHECK, "a shape is checked of one tensor, but here is a family", check.span)
        shape = value.type.shape
        fits = len(shape) == len(extents) and all(
            extent in (None, length) for extent, length in zip(extents, shape, strict=True)
        )
        if not fits:
            expected = "x".join("?" if extent is None else str(extent) for extent in extents)
            made_at = self.layers.made_at.get(value)
            # The tensor itself is sound, and what follows can be checked.
            self.mistake(
                Mistake(
                    codes.SHAPE_CHECK,
                    f"the text says {expected}, but this is {shape_text(shape)}",
                    check.shape.span,
                    f"it is {shape_text(shape)}",
                    secondary=(Label(made_at, f"this made it {shape_text(shape)}"),) if made_at else (),
                ),
                context,
            )

    def _branches(self, link: ast.Branches, naming: ast.Naming | None, context: Context) -> Sequence[Datum]:
        start = self.current(link.span, context)
        op = calls.joining(link, context.blocks)
        given: list[Operand] = []
        for branch in link.branches:
            context.it = start
            self.body(branch, context)
            assert context.it is not None
            given.append((context.it, branch.span))
        context.it = start
        joined = self.operator(link, op, (), link.settings, context)
        names = context.layer(self._local_name(link, naming, context))
        return self.operate(joined, given, names, link.word_span, context)

    def _skip(self, link: ast.Skip, naming: ast.Naming | None, context: Context) -> Datum:
        start = self.current(link.span, context)
        joined = True
        if link.when is not None:
            condition = self.condition(link.when, context, "what follows `when`")
            if condition is None:
                return POISON
            joined = condition
        before = len(self.builder.nodes)
        self.body(link.body, context)
        body = context.it
        between = len(self.builder.nodes)
        if not joined:
            assert body is not None
            self.leave_out(link.via, context)
            return body
        context.it = start
        if link.via is not None:
            self.body(link.via, context)
        shortcut = context.it
        if not isinstance(body, Value) or not isinstance(shortcut, Value):
            if isinstance(body, Poison) or isinstance(shortcut, Poison):
                return POISON
            raise Mistake(codes.BAD_OPERANDS, "`skip` works on one tensor, but here is a family", link.word_span)
        if body.type.shape != shortcut.type.shape:
            raise self._unequal_skip(link, shortcut, body, before, between)
        names = context.layer(self._local_name(link, naming, context))
        return self.layers.apply(self.layers.operator(Add, ()), (body, shortcut), names, link.word_span, context)[0]

    def _each(self, link: ast.Each, naming: ast.Naming | None, context: Context) -> Datum:
        """The leading axis becomes rows of the batch, and is put back around what the body makes of each."""
        start = self.current(link.span, context)
        if isinstance(start, Poison):
            return POISON
        if not isinstance(start, Value):
            raise Mistake(codes.BAD_OPERANDS, "`each` goes over one tensor, but here is a family", link.word_span)
        name, weights = context.layer(self._local_name(link, naming, context))
        opening = (f"{name}.rows", f"{weights}.rows")
        (rows,) = self.layers.apply(self.layers.operator(Each, ()), (start,), opening, link.word_span, context)
        context.it, context.it_name = rows, None
        context.scope.enter()
        try:
            self.body(link.body, context)
        finally:
            context.scope.leave()
        made = context.it
        if isinstance(made, Poison):
            return POISON
        if not isinstance(made, Value):
            raise Mistake(codes.BAD_OPERANDS, "`each` makes one tensor, but here is a family", link.word_span)
        if made.type.batch != rows.type.batch:
            raise Mistake(
                codes.BAD_OPERANDS,
                "the body of `each` ends in a tensor from outside it",
                link.word_span,
                help="its last tensor is what it makes of every row",
            )
        regroup = self.layers.operator(Regroup, (("count", start.type.shape[0]),))
        return self.layers.apply(regroup, (made,), (name, weights), link.span, context)[0]

    def _unequal_skip(self, link: ast.Skip, shortcut: Value, body: Value, before: int, between: int) -> Mistake:
        help, culprits = mend_skip(shortcut.type.shape, body.type.shape, self.builder.nodes[before:between])
        side = "G(it)" if link.via is not None else "it"
        return Mistake(
            codes.SKIP_SHAPES,
            "the two sides of this skip have different shapes",
            link.word_span,
            f"{side} is {shape_text(shortcut.type.shape)}, F(it) is {shape_text(body.type.shape)}",
            secondary=culprits,
            help=help,
        )

    def _repeat(self, link: ast.Repeat, context: Context) -> None:
        count = self.whole(link.count, context, "what `repeat` counts")
        if count is None:
            context.it = POISON
            return
        if count < 0:
            raise Mistake(codes.BAD_VALUE, f"`repeat` cannot count to {count}", link.count.span)
        self._loop(count, link.body, link.count.span, context)

    def _for(self, link: ast.For, context: Context) -> None:
        values = self.evaluate(link.values, context)
        if isinstance(values, Poison):
            context.it = POISON
            return
        rows = calls.rows(values, link.values.span)
        for name in link.names:
            self.reserve(name.name, name.span, "a loop variable")
        self._loop(len(rows), link.body, link.values.span, context, link.names, rows)

    def _loop(
        self,
        count: int,
        body: ast.Body,
        span: Span,
        context: Context,
        names: tuple[ast.Name, ...] = (),
        rows: Sequence[Datum] = (),
    ) -> None:
        if count * least_layers(body, context) > self.limits.layers - len(self.builder.nodes):
            what = f"more than {self.limits.layers:,} layers"
            self.stop(codes.TOO_MANY_LAYERS, what, span, "layers", context)
        self.spend("loop_iterations", count, span, context)
        outer = context.loops
        try:
            for index in range(count):
                context.loops = f"{outer}.{index}"
                context.scope.enter()
                try:
                    if names:
                        calls.bind_row(names, rows[index], span, context)
                    self.body(body, context)
                finally:
                    context.scope.leave()
        finally:
            context.loops = outer

    def _if(self, link: ast.If, context: Context) -> None:
        condition = self.condition(link.condition, context, "what `if` asks")
        if condition is None:
            context.it = POISON
            return
        taken, other = (link.body, link.otherwise) if condition else (link.otherwise, link.body)
        if taken is not None:
            self.body(taken, context)
        self.leave_out(other, context)

    def _step(self, step: ast.Step, first: bool, naming: ast.Naming | None, context: Context) -> Sequence[Datum]:
        if step.arguments is None and not step.values and not step.settings:
            value = self._plain_name(step, context)
            if value is not None:
                if not first and not isinstance(value, Poison):
                    raise calls.tensor_in_chain(step.span)
                return (value,)
        call = self.settle(step, context)
        if call is None:
            return (POISON,)
        return self.call(call, self._local_name(step, naming, context), context)

    def _plain_name(self, step: ast.Step, context: Context) -> Datum | None:
        """The tensor that a step without anything else names, or None where it is a layer."""
        if step.word == "it":
            return self.current(step.span, context)
        binding = context.scope.find(step.word)
        if binding is None:
            return None
        binding.used = True
        return binding.value if isinstance(binding.value, Value | Family | Poison) else None

    def _local_name(
        self, node: ast.Step | ast.Branches | ast.Skip | ast.Each, naming: ast.Naming | None, context: Context
    ) -> str:
        if naming is not None:
            return self.target_name(naming.targets[0], context)
        return context.local[id(node)] + context.loops

    def target_name(self, target: ast.Target, context: Context) -> str:
        """The local part of a layer's name that a given name makes."""
        if target.keys:
            return ".".join([target.name, *[str(key) for key in self.keys(target.keys, context)]])
        return target.name + context.loops

    def reserve(self, name: str, span: Span, what: str) -> None:
        """Refuse names that read as attributes (`k3`) for what may stand where an attribute does."""
        if _TENSOR_NAME.match(name):
            raise Mistake(
                codes.RESERVED_NAME,
                f"`{name}` reads as an attribute, so it may name a tensor but not {what}",
                span,
                help=f"choose a longer name: `{name[0]}_{name[1:]}`",
            )
