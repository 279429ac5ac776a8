"""The diagram on the page about the architecture is compared with the imports."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from attrs import define

from .test_architecture import FILES, ORDER, PACKAGE, ROOT, layer_of, own_imports

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
#: The row that stands for all modules of the top level that are not named in another.
WORDS = "session events kinds …"
IMPORTS = {name: set(own_imports(path)) for name, path in FILES.items()}


@define
class Row:
    """The names in the first column, and the modules in each lane."""

    folders: list[str]
    lanes: list[list[str]]


def rows() -> list[Row]:
    """The diagram, read by the columns of its head."""
    found = re.search(r"<!-- architecture -->\n```text\n(.*?)\n\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    starts = [0, *(each.end() for each in re.finditer(r" {2,}", found[1]))]
    read: list[Row] = []
    for line in found[2].splitlines():
        cells = [line[start:end].strip() for start, end in itertools.pairwise([*starts, len(line) + 1000])]
        if cells[0]:
            read.append(Row(cells[0].split(), [[] for _ in cells[1:]]))
        for lane, module in zip(read[-1].lanes, cells[1:], strict=True):
            lane += [module] if module else []
    return read


def row_of(module: str, order: list[Row]) -> int:
    """The number of the row with a module."""
    first = module.partition(".")[0]
    words = next(at for at, row in enumerate(order) if " ".join(row.folders) == WORDS)
    return next((at for at, row in enumerate(order) if first in row.folders), words)


def test_the_rows_are_the_layers_from_top_to_bottom() -> None:
    """Each folder of the package has its place, and each layer one row."""
    order = rows()
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - {each for row in order for each in row.folders} == set()
    layers = [layer_of(row.folders[0]) for row in order]
    assert layers == [each for each in reversed(ORDER) if each != "package"]


def test_a_row_imports_only_from_the_rows_below() -> None:
    """The page shows the direction of every import of the package."""
    order = rows()
    wrong = [
        f"{module} imports {each}"
        for module, imported in IMPORTS.items()
        for each in imported
        if module.partition(".")[0] not in ("__init__", "__main__") and row_of(each, order) < row_of(module, order)
    ]
    assert wrong == []


def paths() -> Iterator[tuple[str, str]]:
    """Each pair of modules of one folder that are neighbours in a lane."""
    for row in rows():
        for lane in row.lanes:
            yield from itertools.pairwise(f"{row.folders[0]}.{module}" for module in lane)


def test_every_module_of_a_lane_is_there() -> None:
    """A module that was renamed is renamed in the diagram."""
    named = {
        module if module in row.folders else f"{row.folders[0]}.{module}"
        for row in rows()
        for lane in row.lanes
        for module in lane
    }
    assert sorted(named - FILES.keys()) == []


def test_neighbours_in_a_lane_know_each_other() -> None:
    """One imports the other, or a module of the same folder is between them."""
    known = {name: {other for other in FILES if name in IMPORTS[other] or other in IMPORTS[name]} for name in FILES}
    far = [
        (one, other)
        for one, other in paths()
        if other not in known[one]
        and not any(each.startswith(f"{one.partition('.')[0]}.") for each in known[one] & known[other])
    ]
    assert far == []
