"""Reading reports. Every complaint names the file and the JSON pointer."""

import json
import math
import pathlib


class ReportError(Exception):
    """A report that cannot be used: "file.json#/pointer: what is wrong"."""


class Report:
    """One report of `moesim simulate --json`; `label` tells it from others in a picture."""

    kind = "report of `moesim simulate --json`"

    def __init__(self, path, document):
        self.path = str(path)
        self.document = document
        self.label = pathlib.Path(path).stem

    def at(self, pointer, kind):
        """The value at "/a/b/0", which must be a `kind` (dict, list, float, bool or str)."""
        value = self.document
        for token in pointer.split("/")[1:]:
            if isinstance(value, list):
                value = value[int(token)]
            elif isinstance(value, dict) and token in value:
                value = value[token]
            else:
                raise ReportError(f"{self.path}#{pointer}: is missing; is this a {self.kind}?")
        if kind is float:
            if isinstance(value, bool) or not isinstance(value, (int, float)) \
                    or not math.isfinite(value):
                raise ReportError(f"{self.path}#{pointer}: {value!r} is not a finite number")
            return float(value)
        if not isinstance(value, kind):
            names = {dict: "an object", list: "an array", bool: "true or false", str: "a text"}
            raise ReportError(f"{self.path}#{pointer}: {value!r} is not {names[kind]}")
        return value

    def has(self, pointer):
        """Whether there is a value other than null."""
        value = self.document
        for token in pointer.split("/")[1:]:
            value = value[int(token)] if isinstance(value, list) else value.get(token)
            if value is None:
                return False
        return True

    def breakdown(self):
        """[(category, seconds)] in the report's order, without those that take no time."""
        return [(key.removesuffix("_s").replace("_", " "), seconds)
                for key in self.at("/breakdown", dict) if key != "hidden"
                if (seconds := self.at(f"/breakdown/{key}", float)) > 0]

    def step_interval(self):
        """(p10, p90) of the step in seconds; None for a report without error bars."""
        if not self.has("/metrics/step_p10_s"):
            return None
        return self.at("/metrics/step_p10_s", float), self.at("/metrics/step_p90_s", float)

    def imbalance(self):
        """[(layer, load of the busiest rank over the mean)] of the layers with experts."""
        points = []
        for i in range(len(self.at("/layers", list))):
            self.at(f"/layers/{i}", dict)
            if self.has(f"/layers/{i}/max_over_mean"):
                points.append((self.at(f"/layers/{i}/layer", float),
                               self.at(f"/layers/{i}/max_over_mean", float)))
        return points

    def links(self):
        """[{kind, count, mean, maximum, bytes, busiest}] in the report's order."""
        rows = []
        for i in range(len(self.at("/links", list))):
            where = f"/links/{i}"
            rows.append({
                "kind": self.at(f"{where}/kind", str),
                "count": int(self.at(f"{where}/count", float)),
                "mean": self.at(f"{where}/mean_utilisation", float),
                "maximum": self.at(f"{where}/max_utilisation", float),
                "bytes": self.at(f"{where}/bytes", float),
                "busiest": str(self.document["links"][i].get("busiest", "")),
            })
        return rows


def load_document(path):
    """Reads a JSON object. Throws ReportError."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ReportError(f"{path}#: is not an object")
    return document


def load(path):
    """Reads a report. Throws ReportError."""
    return Report(path, load_document(path))


def differ(reports):
    """The reports, with labels made to differ where file names do not."""
    labels = [report.label for report in reports]
    if len(set(labels)) < len(labels):
        for report in reports:
            report.label = report.path
    return reports


def load_all(paths):
    """Reads reports and makes their labels differ."""
    return differ([load(path) for path in paths])
