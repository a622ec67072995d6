"""Reading tables of judged rows (`moesim validate --points`). Every complaint names file and line."""

import array
import csv
import math

import numpy

from moesim_view.reports import ReportError

# A shape's size is the first of these columns that its kind of row fills.
SIZES = ("m", "tokens", "context", "read", "bytes")
SPREADS = ("local_experts", "ranks")
SECONDS = ("measured_s", "predicted_s", "p10_s", "p90_s", "naive_s")
WHAT = {"m": "m", "tokens": "tokens", "context": "context length", "read": "bytes read",
        "bytes": "bytes", "local_experts": "experts per rank", "ranks": "ranks",
        "measured_s": "measured time (s)"}


class Group:
    """The rows of one group as columns; size and spread are NaN in rows without one."""

    def __init__(self, name):
        self.name = name
        self.operation, _, self.panel = name.partition("/")
        self.size_name = None
        self.spread_name = None
        self.columns = {key: array.array("d") for key in (*SECONDS, "size", "spread")}

    def column(self, key):
        return numpy.frombuffer(self.columns[key])

    def errors(self):
        """|predicted/measured - 1|"""
        return numpy.abs(self.column("predicted_s") / self.column("measured_s") - 1)

    def naive_errors(self):
        return numpy.abs(self.column("naive_s") / self.column("measured_s") - 1)

    def inside(self):
        """Share of the rows between p10 and p90."""
        measured = self.column("measured_s")
        return numpy.mean((self.column("p10_s") <= measured) & (measured <= self.column("p90_s")))

    def variables(self):
        """[(what, values)] against which errors are shown."""
        pairs = [(self.size_name, "size"), (self.spread_name, "spread"), ("measured_s", "measured_s")]
        return [(WHAT[name], self.column(key)) for name, key in pairs if name]


def filled(cells, columns):
    """The first (name, index) of the columns that has a value in this row."""
    for name, index in columns:
        if cells[index] != "":
            return name, index
    return None, None


def read_rows(rows, path):
    header = next(rows, [])
    missing = [name for name in ("group", *SECONDS) if name not in header]
    if missing:
        raise ReportError(f"{path}:1: the column {missing[0]} is missing; is this a table of "
                          "`moesim validate ... --points`?")
    group_column = header.index("group")
    seconds = [(name, header.index(name)) for name in SECONDS]
    sizes, spreads = ([(name, header.index(name)) for name in names if name in header]
                      for names in (SIZES, SPREADS))
    groups = {}
    for cells in rows:
        if len(cells) != len(header):
            raise ReportError(f"{path}:{rows.line_num}: {len(cells)} fields, but the header names "
                              f"{len(header)}")
        group = groups.get(cells[group_column])
        if group is None:
            group = groups[cells[group_column]] = Group(cells[group_column])
            group.size_name, group.size_index = filled(cells, sizes)
            group.spread_name, group.spread_index = filled(cells, spreads)
        try:
            values = [float(cells[index]) for _, index in seconds]
            size = float(cells[group.size_index]) if group.size_name else math.nan
            spread = float(cells[group.spread_index]) if group.spread_name else math.nan
        except ValueError as error:
            raise ReportError(f"{path}:{rows.line_num}: {error}") from error
        if not 0 < values[0] < math.inf:
            raise ReportError(f"{path}:{rows.line_num}: measured_s is {values[0]}, not a positive time")
        for (name, _), value in zip(seconds, values):
            group.columns[name].append(value)
        group.columns["size"].append(size)
        group.columns["spread"].append(spread)
    if not groups:
        raise ReportError(f"{path}: holds no rows")
    return [groups[name] for name in sorted(groups)]


def load(path):
    """The groups by name. Throws ReportError."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return read_rows(csv.reader(file), path)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: is not a CSV table: {error}") from error
