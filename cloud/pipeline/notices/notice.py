"""A notice, and its two looks: plain text and HTML say the same, because both are drawn from one value."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_PAGE = (
    "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{title}</title>"
    '<body style="font-family:sans-serif;font-size:14px;color:#222">{body}</body></html>\n'
)
_CELL = 'style="padding:3px 12px 3px 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a heading; without a header it is a list of names and values."""

    heading: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    empty: str = ""  # what to say where there are no rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one mail says."""

    subject: str
    opening: str
    tables: Sequence[Table] = ()
    closing: str = ""

    def text(self) -> str:
        """Return it as plain text."""
        parts = [self.opening, *(_text_of(table) for table in self.tables), self.closing]
        return "\n\n".join(_plain(part) for part in parts if part) + "\n"

    def html(self) -> str:
        """Return it as an HTML page of its own; every value is escaped."""
        parts = [_paragraph(self.opening), *(_html_of(table) for table in self.tables), _paragraph(self.closing)]
        return _PAGE.format(title=escape(self.subject), body="".join(parts))


def one_line(text: str) -> str:
    """Return ``text`` as a header of a mail may carry it: no line ends, nothing that cannot be printed."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _text_of(table: Table) -> str:
    rows = [*([table.header] if table.header and table.rows else []), *table.rows]
    if not rows:
        return "\n".join(part for part in (table.heading, f"  {table.empty}" if table.empty else "") if part)
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*([table.heading] if table.heading else []), *(f"  {line}" for line in lines)])


def _html_of(table: Table) -> str:
    heading = f"<h3>{escape(table.heading)}</h3>" if table.heading else ""
    if not table.rows:
        return heading + _paragraph(table.empty)
    header = "".join(f"<th {_CELL}>{escape(cell)}</th>" for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td {_CELL}>{escape(_plain(cell))}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f'{heading}<table style="border-collapse:collapse">{f"<tr>{header}</tr>" if header else ""}{rows}</table>'


def _paragraph(text: str) -> str:
    return f"<p>{escape(_plain(text)).replace(chr(10), '<br>')}</p>" if text else ""
