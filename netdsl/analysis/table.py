"""A summary as text: a table for people, CSV, Markdown, LaTeX, HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from netdsl.analysis.receptive_field import Field
from netdsl.analysis.summary import Row, Summary
from netdsl.tensor import shape_text

CONVENTION = (
    "MACs: multiply-accumulates of convolutions, transposed convolutions and matrix products; padded positions",
    "count, biases do not. FLOPs: 2 x MACs and every other arithmetic operation (`netdsl ops NAME` has the rules).",
    "field: input elements that one output element sees, height x width. memory: bytes of the results.",
    "peak activations: most bytes that live at one step, nothing computed in place. MB = 10^6 bytes.",
)
"""What the numbers mean; printed under every table."""


class Column(NamedTuple):
    """A column of the table: its cells as people read them. `spare` ones give way first where the screen is narrow."""

    title: str
    cell: Callable[[Row], str]
    right: bool = False
    spare: int = 0


COLUMNS = (
    Column("layer", lambda row: row.name),
    Column("operator", lambda row: row.text),
    Column("output", lambda row: _output(row)),
    Column("params", lambda row: "shared" if row.shares else _count(row.params), right=True),
    Column("MACs", lambda row: _count(row.macs), right=True),
    Column("FLOPs", lambda row: _count(row.flops), right=True, spare=3),
    Column("memory", lambda row: _bytes(row.activation_bytes), right=True, spare=2),
    Column("field", lambda row: _field(row.field), right=True, spare=1),
)


def text(summary: Summary, width: int | None = None) -> str:
    """The table that `netdsl summary` prints. Within `width` columns spare ones are left out, and a line says which."""
    columns, dropped = _fitting(summary.rows, width)
    totals = summary.totals
    cells = [[column.cell(row) for column in columns] for row in summary.rows]
    sums = {"layer": "total", "params": _grouped(totals.params), "MACs": _grouped(totals.macs)}
    sums |= {"operator": _plural(totals.layers, "layer"), "FLOPs": _grouped(totals.flops)}
    lines = [_title(summary), *_ports(summary), ""]
    lines += _aligned(columns, cells, [sums.get(column.title, "") for column in columns])
    lines += ["", *_kinds(summary), "", *_totals(summary), "", *CONVENTION]
    if dropped:
        listed = ", ".join(column.title for column in dropped)
        lines.append(f"Left out for want of room: {listed}. A wider terminal or `--format csv` shows all.")
    return "\n".join(lines) + "\n"


def _fitting(rows: Sequence[Row], width: int | None) -> tuple[list[Column], list[Column]]:
    columns, dropped = list(COLUMNS), []
    for spare in sorted((column for column in COLUMNS if column.spare), key=lambda column: -column.spare):
        if width is None or _width(columns, rows) <= width:
            break
        columns.remove(spare)
        dropped.append(spare)
    return columns, dropped


def _width(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    widths = [max([len(column.title), *(len(column.cell(row)) for row in rows)]) for column in columns]
    return sum(widths) + 2 * (len(columns) - 1)


def _aligned(columns: Sequence[Column], cells: list[list[str]], sums: list[str]) -> list[str]:
    titles = [column.title for column in columns]
    widths = [max(map(len, texts)) for texts in zip(titles, sums, *cells, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(texts: Iterable[str]) -> str:
        parts = zip(texts, widths, columns, strict=True)
        return "  ".join(t.rjust(w) if c.right else t.ljust(w) for t, w, c in parts).rstrip()

    return [line(titles), rule, *map(line, cells), rule, line(sums)]


def _title(summary: Summary) -> str:
    return f"{summary.net}" + (f" ({summary.file})" if summary.file else "")


def _ports(summary: Summary) -> list[str]:
    def listed(ports: Iterable[tuple[str, tuple[int, ...]]]) -> str:
        # The one result that no `output` line names is called `output`.
        return ", ".join(
            shape_text(shape) if name == "output" else f"{name} {shape_text(shape)}" for name, shape in ports
        )

    batch = f"batch {summary.batch}, {summary.dtype.label}"
    return [f"input {listed(summary.inputs)}; output {listed(summary.outputs)}; {batch}"]


def _kinds(summary: Summary) -> list[str]:
    totals = summary.totals
    columns = [
        Column("by operator", lambda _: ""),
        *(Column(title, lambda _: "", right=True) for title in ("layers", "params", "%", "MACs", "%", "FLOPs", "%")),
    ]
    cells = []
    for kind in summary.kinds:
        numbers = [(kind.params, totals.params), (kind.macs, totals.macs), (kind.flops, totals.flops)]
        cells.append(
            [kind.op, str(kind.layers), *(part for pair in numbers for part in (_count(pair[0]), _share(*pair)))]
        )
    sums = ["total", _grouped(totals.layers)]
    for total in (totals.params, totals.macs, totals.flops):
        sums += [_grouped(total), "100.0" if total else ""]
    return _aligned(columns, cells, sums)


def _totals(summary: Summary) -> list[str]:
    totals = summary.totals
    entries = [
        ("depth", f"{_plural(totals.depth, 'weighted layer')} on the longest path"),
        ("parameters", _both(totals.params) + (f", and {_grouped(totals.buffers)} buffered" if totals.buffers else "")),
        ("MACs", _both(totals.macs)),
        ("FLOPs", _both(totals.flops)),
        ("weights", _bytes(totals.weight_bytes)),
        ("largest activation", f"{_grouped(totals.largest_activation)} elements"),
        ("peak activations", _bytes(totals.peak_activation_bytes)),
    ]
    width = max(len(name) for name, _ in entries)
    return [f"{name.ljust(width)}  {value}" for name, value in entries]


CSV_HEADER = (
    "name,op,attributes,inputs,input_shapes,output_shape,rows,params,buffers,macs,flops,weight_bytes,"
    "activation_bytes,receptive_field,stride,origin,shares,file,line,column"
)


def csv(summary: Summary) -> str:
    """One line a row, plain numbers, the fields of the JSON; shapes as `64x56x56`, several inputs with `;` between."""
    lines = [CSV_HEADER]
    for row in summary.rows:
        cells = [
            row.name,
            row.op,
            row.text,
            ";".join(row.inputs),
            ";".join(shape_text(shape) for shape in row.input_shapes),
            shape_text(row.output_shape),
            *(row.rows, row.params, row.buffers, row.macs, row.flops, row.weight_bytes, row.activation_bytes),
            _joined(row.field.size if row.field else None),
            _joined(row.field.stride if row.field else None),
            row.origin,
            row.shares or "",
            *((row.span.source.name, row.span.line, row.span.column) if row.span else ("", "", "")),
        ]
        lines.append(",".join(_quoted(str(cell)) for cell in cells))
    return "\n".join(lines) + "\n"


def markdown(summary: Summary) -> str:
    """The rows and the totals as a Markdown table."""
    lines = [f"**{_title(summary)}**: {_ports(summary)[0]}", ""]
    lines.append("| " + " | ".join(column.title for column in COLUMNS) + " |")
    lines.append("|" + "|".join("---:" if column.right else "---" for column in COLUMNS) + "|")
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in _rows_and_total(summary)
    ]
    return "\n".join([*lines, "", " ".join(CONVENTION)]) + "\n"


def latex(summary: Summary) -> str:
    """The rows and the totals as a `tabular` with the rules of `booktabs`."""
    *rows, total = [" & ".join(map(_tex, texts)) + r" \\" for texts in _rows_and_total(summary)]
    layout = "".join("r" if column.right else "l" for column in COLUMNS)
    titles = " & ".join(column.title for column in COLUMNS) + r" \\"
    body = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", titles, r"\midrule", *rows, r"\midrule", total]
    notes = [f"% {line}" for line in (_title(summary), *_ports(summary), *CONVENTION)]
    return "\n".join([*notes, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def html(summary: Summary) -> str:
    """The rows and the totals as an HTML table, for notebooks."""

    def line(texts: Sequence[str], tag: str) -> str:
        cells = (
            f'<{tag} style="text-align:{"right" if column.right else "left"}">{_html(text)}</{tag}>'
            for text, column in zip(texts, COLUMNS, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    *rows, total = _rows_and_total(summary)
    head = line([column.title for column in COLUMNS], "th")
    body = "".join(line(row, "td") for row in rows)
    caption = f"<caption><b>{_html(_title(summary))}</b>: {_html(_ports(summary)[0])}</caption>"
    notes = "<br>".join(map(_html, (*_totals(summary), " ".join(CONVENTION))))
    table = f"<thead>{head}</thead><tbody>{body}</tbody><tfoot>{line(total, 'th')}</tfoot>"
    return f"<table>{caption}{table}</table><small>{notes}</small>"


FORMATS: dict[str, Callable[[Summary], str]] = {"csv": csv, "md": markdown, "latex": latex}


def _rows_and_total(summary: Summary) -> list[list[str]]:
    totals = summary.totals
    sums = {"layer": "total", "operator": _plural(totals.layers, "layer"), "params": _grouped(totals.params)}
    sums |= {"MACs": _grouped(totals.macs), "FLOPs": _grouped(totals.flops)}
    rows = [[column.cell(row) for column in COLUMNS] for row in summary.rows]
    return [*rows, [sums.get(column.title, "") for column in COLUMNS]]


def _count(number: int) -> str:
    """A count in a cell; none is a dash, so that the layers that do the work stand out."""
    return _grouped(number) if number else "-"


def _grouped(number: int) -> str:
    return f"{number:,}"


def _both(number: int) -> str:
    short = _humanised(number, ("", " k", " M", " G", " T", " P", " E"))
    return _grouped(number) + (f" ({short})" if number >= 10_000 else "")


def _bytes(number: int) -> str:
    return _humanised(number, (" B", " kB", " MB", " GB", " TB", " PB", " EB")) if number else "-"


def _humanised(number: int, units: Sequence[str]) -> str:
    """Three figures and a unit: `4.09 G`, `25.6 M`, `102 MB`."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}{units[unit]}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if part and whole else ""


def _plural(count: int, noun: str) -> str:
    return f"{_grouped(count)} {noun}{'' if count == 1 else 's'}"


def _output(row: Row) -> str:
    """The shape of a result; inside `each`, how many there are."""
    shape = shape_text(row.output_shape)
    return shape if row.rows == 1 else f"{_grouped(row.rows)} * {shape}"


def _field(field: Field | None) -> str:
    return _joined(field.size if field else None) or "-"


def _joined(numbers: Iterable[float] | None) -> str:
    return "x".join(f"{number:g}" for number in numbers) if numbers else ""


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\n') else text


def _html(text: str) -> str:
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, entity)
    return text


def _tex(text: str) -> str:
    if text.replace("x", "").isdigit():
        return f"${text.replace('x', chr(92) + 'times ')}$" if "x" in text else text
    return "".join("\\" + char if char in "_&%#${}" else {"\\": r"\textbackslash{}"}.get(char, char) for char in text)
