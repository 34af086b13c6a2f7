"""The paper's tables as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.report.paper_tables import EMPTY, PaperRow, PaperTable

_MANY = 10  # columns from which on a LaTeX table is made as wide as the page
_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "\\,$\\pm$\\,",
    "†": "$^\\dagger$",
    "–": "--",
    "·": "$\\cdot$",
}
_LEAD = "Published numbers, and below them, in bold, those of this run with their standard errors."
_HEAD = """\
% Made by the report step. Needs \\usepackage{booktabs} and \\usepackage{graphicx}, in UTF-8.
% Rows above the line are published numbers, rows below it are of this run: value and standard error.
"""


def markdown(title: str, tables: Sequence[PaperTable], besides: Sequence[str], notes: Sequence[str]) -> str:
    """One table for each of the paper's; ``besides`` are benchmarks of the paper that were not asked."""
    out = [
        f"# {_cell(title)}",
        "",
        _LEAD,
    ]
    for table in tables:
        heads = [f"{group} {head}".strip() for group, heads in table.groups for head in heads]
        rows = [
            [
                _name(row),
                row.protocol,
                row.samples,
                *(f"**{c}**" if row.ours and c != EMPTY else c for c in row.cells),
            ]
            for row in table.rows
        ]
        out += ["", f"## {table.title}", "", f"In {table.unit}.", ""]
        out.append(_line(["model", "protocol", "samples", *heads]))
        out.append(_line(["---", "---", "---:", *["---:"] * len(heads)]))
        out += map(_line, rows)
        if table.notes:
            out += ["", *(f"- {note}" for note in table.notes)]
    out += ["", "## Notes", "", *(f"- {_cell(note)}" for note in notes)]
    if besides:
        out.append(f"- Also in the paper and not asked here: {', '.join(besides)}.")
    return "\n".join(out) + "\n"


def latex(tables: Sequence[PaperTable]) -> str:
    """A ``table*`` for each of the paper's tables."""
    return _HEAD + "".join(map(_latex, tables))


def _latex(table: PaperTable) -> str:
    count = sum(len(heads) for _, heads in table.groups)
    spans, rules, at = [], [], 4
    for title, heads in table.groups:
        spans.append(f"\\multicolumn{{{len(heads)}}}{{c}}{{{_tex(title)}}}")
        rules.append(f"\\cmidrule(lr){{{at}-{at + len(heads) - 1}}}")
        at += len(heads)
    out = ["", "\\begin{table*}", "\\centering", f"\\caption{{{_tex(f'{table.title}, in {table.unit}.')}"]
    out[-1] += "".join(f" {_tex(note)}" for note in table.notes) + "}"
    out.append(f"\\label{{tab:{table.name}}}")
    wide = count >= _MANY
    if wide:
        out.append("\\resizebox{\\textwidth}{!}{%")
    out += [f"\\begin{{tabular}}{{llr{'r' * count}}}", "\\toprule"]
    if any(title for title, _ in table.groups):
        out += [f" & & & {' & '.join(spans)} \\\\", "".join(rules)]
    names = " & ".join(_tex(head) for _, group in table.groups for head in group)
    out += [f"Model & Protocol & Samples & {names} \\\\", "\\midrule"]
    for before, row in zip([None, *table.rows], table.rows, strict=False):
        if row.ours and (before is None or not before.ours):
            out.append("\\midrule")
        out.append(" & ".join(map(_tex, (_name(row), row.protocol, row.samples, *row.cells))) + " \\\\")
    out += ["\\bottomrule", "\\end{tabular}" + ("}" if wide else ""), "\\end{table*}"]
    return "\n".join(out) + "\n"


def _name(row: PaperRow) -> str:
    return f"{row.label} {row.marks}".strip()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _tex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text).replace(" \\,$\\pm$\\,", "\\,$\\pm$\\,")
