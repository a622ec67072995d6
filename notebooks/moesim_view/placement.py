"""Reading results of `moesim place --json` and `moesim place rebalance --json`."""

from moesim_view.reports import Report, ReportError, differ, load_document


def is_placement(document):
    """Is this a result of `moesim place --json`?"""
    return isinstance(document, dict) and "placement" in document and "objective" in document


def is_rebalance(document):
    """Is this a result of `moesim place rebalance --json`?"""
    return isinstance(document, dict) and document.get("schema") == "moesim.place-rebalance/1"


class Placement(Report):
    """One result of `moesim place --json`."""

    kind = "result of `moesim place --json`"

    def matrix(self, pointer):
        """Rows of equally many finite numbers."""
        rows = self.at(pointer, list)
        result = []
        for i in range(len(rows)):
            row = self.at(f"{pointer}/{i}", list)
            if len(row) != len(rows[0]) or not row:
                raise ReportError(f"{self.path}#{pointer}/{i}: {len(row)} entries, "
                                  f"but the first row has {len(rows[0])}")
            result.append([self.at(f"{pointer}/{i}/{j}", float) for j in range(len(row))])
        if not result:
            raise ReportError(f"{self.path}#{pointer}: is empty")
        return result

    def pair(self, key):
        """[(name, matrix)] of `heat` or `traffic`: before, then after; [] if the result has none."""
        if not self.has(f"/{key}"):
            return []
        return [(name, self.matrix(f"/{key}/{name}")) for name in ("contiguous", "found")
                if self.has(f"/{key}/{name}")]

    def loads(self):
        """[(name, [layer][GPU] load over the layer's mean)]; a layer without load is all 1."""
        result = []
        for name, rows in self.pair("heat"):
            means = [sum(row) / len(row) for row in rows]
            result.append((name, [[load / mean if mean > 0 else 1.0 for load in row]
                                  for row, mean in zip(rows, means)]))
        return result

    def history(self):
        """[(seconds, objective, lower bound)]; 0 stands for "none yet"."""
        if not self.has("/history"):
            return []
        return [tuple(self.at(f"/history/{i}/{key}", float)
                      for key in ("seconds", "objective", "lower_bound"))
                for i in range(len(self.at("/history", list)))]

    def in_seconds(self):
        return self.has("/unit") and self.at("/unit", str) == "s"


class Rebalance(Report):
    """One result of `moesim place rebalance --json`."""

    kind = "result of `moesim place rebalance --json`"

    def policies(self):
        """[(name, total seconds, [busiest / mean per window], [seconds per window])]"""
        result = []
        for i in range(len(self.at("/policies", list))):
            where = f"/policies/{i}"
            windows = range(len(self.at(f"{where}/windows", list)))
            result.append((
                self.at(f"{where}/policy", str), self.at(f"{where}/total_s", float),
                [self.at(f"{where}/windows/{w}/max_over_mean", float) for w in windows],
                [self.at(f"{where}/windows/{w}/serving_s", float) +
                 self.at(f"{where}/windows/{w}/migration_s", float) for w in windows]))
        if not result:
            raise ReportError(f"{self.path}#/policies: is empty")
        return result


def sort_out(paths):
    """(reports of steps, placements, rebalances) among files. Throws ReportError."""
    steps, placements, rebalances = [], [], []
    for path in paths:
        document = load_document(path)
        if is_placement(document):
            placements.append(Placement(path, document))
        elif is_rebalance(document):
            rebalances.append(Rebalance(path, document))
        else:
            steps.append(Report(path, document))
    return tuple(map(differ, (steps, placements, rebalances)))
