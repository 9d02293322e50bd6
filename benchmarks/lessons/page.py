"""Generated blocks of a Markdown page, between markers that name them::

    <!-- generated: NAME -->
    ...
    <!-- end -->

Everything else of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PAGE = "table.md"
"""The page of the measured table, in the folder of the docs."""

_BLOCK = re.compile(r"<!-- generated: (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.S)


def blocks(page: str) -> list[str]:
    """The names of the blocks of a page, in order."""
    return [m["name"] for m in _BLOCK.finditer(page)]


def filled(page: str, contents: Mapping[str, str]) -> str:
    """The page with these contents in its blocks; blocks without contents stay as they are.

    Raises:
        KeyError: contents that the page has no block for.
    """
    missing = contents.keys() - set(blocks(page))
    if missing:
        raise KeyError(f"the page has no block {', '.join(sorted(missing))}")

    def replaced(match: re.Match[str]) -> str:
        content = contents.get(match["name"])
        if content is None:
            return match[0]
        return f"<!-- generated: {match['name']} -->\n{content.strip()}\n<!-- end -->"

    return _BLOCK.sub(replaced, page)


def fill(path: Path, contents: Mapping[str, str]) -> None:
    """Rewrite the blocks of a page."""
    path.write_text(filled(path.read_text(encoding="utf-8"), contents), encoding="utf-8")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; columns of numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [
        bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(headings))
    ]
    rule = ["---:" if n else "---" for n in numeric]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(headings), rule, *cells])


def image(name: str, about: str) -> str:
    """A plot among the page's images."""
    return f"![{about}](images/table/{name}.svg)"


def percent(share: float) -> str:
    """A share in percent; a dash where it is unknown."""
    return "–" if share != share else f"{round(100 * share, 1) + 0.0:.1f} %"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if value != value else _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float) -> str:
    """Three digits where there are fewer than three before the point."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3f}"


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"[-–]|-?[\d,.]+( ?%)?", cell))
