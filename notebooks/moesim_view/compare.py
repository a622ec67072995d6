"""python3 -m moesim_view.compare A.json B.json: which step is faster, by how much and why, in one
sentence. Each number is the reports' own."""

import sys

from moesim_view import reports

SAME = 0.0005  # relative differences below this are called none
TELLING = 0.01  # below this, one step's routing may decide as well as the placement


def duration(seconds):
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.4g} {unit}"
    return f"{seconds * 1e9:.4g} ns"


def because(fast, slow, gain):
    """What differs: the load of the busiest rank, and the category that saves most."""
    load = {report: 1 + report.at("/metrics/imbalance_ratio", float) for report in (fast, slow)}
    slow_parts, fast_parts = dict(slow.breakdown()), dict(fast.breakdown())
    saved = {category: slow_parts.get(category, 0) - fast_parts.get(category, 0)
             for category in {**slow_parts, **fast_parts}}
    category = max(saved, key=saved.get, default=None)
    most = f"{duration(saved[category])} less in {category}" if category and saved[category] > 0 \
        else "a little everywhere"
    if gain < TELLING:
        return f"too little to name a cause: their busiest ranks carry {load[fast]:.3f} and " \
               f"{load[slow]:.3f} times the mean load"
    loads = f"{load[fast]:.3f} instead of {load[slow]:.3f} times the mean load"
    if load[fast] < load[slow]:
        return f"because its busiest rank carries {loads}, which shows most as {most}"
    return f"though its busiest rank carries {loads}; it gains most by {most}"


def sentence(first, second):
    times = {report: report.at("/metrics/step_s", float) for report in (first, second)}
    fast, slow = sorted((first, second), key=times.get)
    gain = times[slow] / times[fast] - 1
    if gain < SAME:
        text = f"{first.label} and {second.label} placement take the same time, " \
               f"{duration(times[first])} a step"
    else:
        text = f"{fast.label} placement is {100 * gain:.1f} % faster than {slow.label} " \
               f"({duration(times[fast])} against {duration(times[slow])} a step), " \
               f"{because(fast, slow, gain)}"
    short = [report.label for report in (first, second) if not report.at("/metrics/fits", bool)]
    if short:
        text += f"; {' and '.join(short)} would not fit into the devices' memory"
    return text[0].upper() + text[1:] + "."


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print(sentence(*reports.load_all(sys.argv[1:])).replace("_", "-"))
    except reports.ReportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
