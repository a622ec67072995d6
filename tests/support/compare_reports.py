"""compare_reports.py A.json B.json: both are complete reports of `moesim simulate --json` and equal,
digit for digit, outside `host`. Exits with 1 and the first difference otherwise."""

import json
import sys


def difference(a, b, pointer=""):
    """The JSON pointer of the first difference and both values, or None."""
    if type(a) is not type(b):
        return pointer, a, b
    if isinstance(a, dict):
        if list(a) != list(b):
            return pointer, f"keys {list(a)}", f"keys {list(b)}"
        pairs = ((str(key), a[key], b[key]) for key in a)
    elif isinstance(a, list):
        if len(a) != len(b):
            return pointer, f"{len(a)} elements", f"{len(b)} elements"
        pairs = ((str(i), x, y) for i, (x, y) in enumerate(zip(a, b)))
    else:
        return None if a == b else (pointer, a, b)
    for name, x, y in pairs:
        found = difference(x, y, f"{pointer}/{name}")
        if found:
            return found
    return None


def load(path):
    # Numbers stay text: 0.1 and 0.10000000000000001 differ.
    with open(path, encoding="utf-8") as file:
        report = json.load(file, parse_float=str, parse_int=str)
    for key in ("schema", "scenario", "metrics", "breakdown", "provenance", "warnings", "host"):
        if key not in report:
            sys.exit(f"{path}: the key {key} is missing")
    metrics = report["metrics"]
    if not isinstance(metrics.get("fits"), bool):
        sys.exit(f"{path}#/metrics/fits: neither true nor false")
    if not float(metrics.get("step_s", "nan")) > 0:
        sys.exit(f"{path}#/metrics/step_s: no positive number")
    del report["host"]
    return report


def main():
    first, second = sys.argv[1:]
    found = difference(load(first), load(second))
    if found:
        pointer, a, b = found
        sys.exit(f"reports differ at {pointer}: {a} in {first}, {b} in {second}")


if __name__ == "__main__":
    main()
