"""The three pictures of a step: imbalance by layer, where the time goes, how busy the links are."""

import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)
from matplotlib.transforms import ScaledTranslation  # noqa: E402

# Okabe and Ito's palette: told apart with any colour vision.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000",
           "#999999", "#882255", "#44AA99", "#DDCC77"]
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False,
         "axes.titlelocation": "left", "axes.titleweight": "bold", "figure.dpi": 120}


def time_scale(seconds):
    """(factor, unit) that prints a duration with one to three digits before the point."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return factor, unit
    return 1e9, "ns"


def bytes_scale(count):
    for factor, unit in ((1e-12, "TB"), (1e-9, "GB"), (1e-6, "MB"), (1e-3, "kB")):
        if count * factor >= 1:
            return factor, unit
    return 1, "B"


def legend_below(figure, source, axes, columns):
    """The legend of `source`'s artists under the x label of `axes`, outside of the plot."""
    handles, labels = source.get_legend_handles_labels()
    below = axes.transAxes + ScaledTranslation(0, -0.5, figure.dpi_scale_trans)
    axes.legend(handles, labels, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0),
                bbox_transform=below, ncols=min(len(labels), columns))


def draw_imbalance(reports):
    """Load of the busiest expert rank over the mean, per layer; None if no layer has experts."""
    series = [(report, report.imbalance()) for report in reports]
    if not any(points for _, points in series):
        return None
    figure, axes = plt.subplots(figsize=(9, 4.2))
    for i, (report, points) in enumerate(series):
        if not points:
            continue
        layers, values = zip(*points)
        mean = sum(values) / len(values)
        axes.plot(layers, values, marker="o", markersize=4, linewidth=1.4, color=COLOURS[i % len(COLOURS)],
                  label=f"{report.label} (mean over layers {mean:.2f})")
    axes.axhline(1, color="#666666", linewidth=1, linestyle="--")
    axes.annotate("perfect balance", (1, 1), xycoords=("axes fraction", "data"), ha="right",
                  xytext=(0, 4), textcoords="offset points", color="#666666", fontsize=9)
    axes.set_title("Imbalance of the expert ranks")
    axes.set_xlabel("layer")
    axes.set_ylabel("busiest rank's load / mean load")
    axes.set_ylim(bottom=min(0.95, axes.get_ylim()[0]))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", alpha=0.3)
    legend_below(figure, axes, axes, columns=2)
    return figure


def draw_breakdown(reports):
    """One stacked bar per report: time of the critical path by category."""
    bars = [dict(report.breakdown()) for report in reports]
    categories = list(dict.fromkeys(category for bar in bars for category in bar))
    longest = max(sum(bar.values()) for bar in bars)
    factor, unit = time_scale(longest)
    figure, axes = plt.subplots(figsize=(9.5, 1.3 + 0.6 * len(reports)))
    lefts = [0.0] * len(bars)
    for i, category in enumerate(categories):
        colour = COLOURS[i % len(COLOURS)]
        widths = [bar.get(category, 0.0) * factor for bar in bars]
        axes.barh(range(len(bars)), widths, left=lefts, height=0.6, color=colour, label=category,
                  edgecolor="white", linewidth=0.6)
        for row, width in enumerate(widths):
            if width > 0.055 * longest * factor:
                light = matplotlib.colors.rgb_to_hsv(matplotlib.colors.to_rgb(colour))[2] > 0.85
                axes.text(lefts[row] + width / 2, row, f"{width:.3g}", ha="center", va="center",
                          fontsize=9, color="black" if light else "white")
        lefts = [left + width for left, width in zip(lefts, widths)]
    right_end = longest * factor
    for row, (report, total) in enumerate(zip(reports, lefts)):
        interval = report.step_interval()
        if interval:  # under the bar, whose numbers it would cover
            low, high = (seconds * factor for seconds in interval)
            axes.errorbar(total, row + 0.38, xerr=[[max(total - low, 0)], [max(high - total, 0)]],
                          color="black", linewidth=1.2, capsize=3, zorder=3)
            right_end = max(right_end, high)
        axes.text(total, row, f"  {total:.4g} {unit}", va="center", fontweight="bold")
    axes.set_yticks(range(len(reports)), [report.label for report in reports])
    axes.invert_yaxis()
    axes.set_xlim(0, right_end * 1.14)
    axes.set_title("Where the step's time goes (critical path)")
    axes.set_xlabel(f"time ({unit}; whiskers: p10-p90 of the step)" if any(
        report.step_interval() for report in reports) else f"time ({unit})")
    legend_below(figure, axes, axes, columns=4)
    return figure


def draw_links(reports):
    """Utilisation and traffic per kind of link that carries any; None if none does."""
    tables = [{row["kind"]: row for row in report.links()} for report in reports]
    kinds = list(dict.fromkeys(kind for table in tables for kind, row in table.items()
                               if row["bytes"] > 0))
    if not kinds:
        return None
    figure, (left, right) = plt.subplots(1, 2, sharey=True,
                                         figsize=(11, 1.4 + 0.27 * len(kinds) * (len(reports) + 0.6)))
    height = 0.8 / len(reports)
    factor, unit = bytes_scale(max(row["bytes"] for table in tables for row in table.values()))
    for i, (report, table) in enumerate(zip(reports, tables)):
        rows = [table[kind] for kind in kinds if kind in table]
        at = [kinds.index(row["kind"]) + (i - (len(reports) - 1) / 2) * height for row in rows]
        left.barh(at, [100 * row["mean"] for row in rows], height * 0.9, color=COLOURS[i % len(COLOURS)],
                  label=report.label)
        left.scatter([100 * row["maximum"] for row in rows], at, marker="D", s=28, color=COLOURS[i % len(COLOURS)],
                     edgecolor="black", linewidth=0.6, zorder=3)
        right.barh(at, [row["bytes"] * factor for row in rows], height * 0.9, color=COLOURS[i % len(COLOURS)])
        for y, row in zip(at, rows):
            if row["busiest"]:
                left.annotate(row["busiest"], (100 * row["maximum"], y), xytext=(7, 0),
                              textcoords="offset points", va="center", fontsize=8, color="#444444")
    counts = {row["kind"]: row["count"] for table in tables for row in table.values()}
    left.set_yticks(range(len(kinds)), [f"{kind} (x{counts[kind]})" for kind in kinds])
    left.invert_yaxis()
    left.set_xlim(0, 1.35 * max(left.get_xlim()[1], 1))
    left.set_title("Link utilisation over the step")
    left.set_xlabel("% of the step (bar: mean, diamond: busiest link)")
    right.set_title("Traffic")
    right.set_xlabel(f"bytes over all links of the kind ({unit})")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    if len(reports) > 1:
        legend_below(figure, left, right, columns=2)
    return figure


PICTURES = {"imbalance": draw_imbalance, "breakdown": draw_breakdown, "links": draw_links}


def save_figure(figure, path):
    """Writes beside the path and renames: a picture that is there is complete."""
    partial = path.with_name(f"{path.name}.part.{os.getpid()}")
    try:
        figure.savefig(partial, format=path.suffix[1:], bbox_inches="tight")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
        plt.close(figure)


def save(drawings, folder):
    """drawings: [(file name, function, argument)]; a function gives a figure or None. Returns the
    paths that were written."""
    written = []
    with plt.rc_context({**STYLE, "figure.constrained_layout.use": True}):
        for name, draw, argument in drawings:
            figure = draw(argument)
            if figure is None:
                continue
            path = folder / name
            save_figure(figure, path)
            written.append(path)
    return written


def write_pngs(reports, folder):
    """Draws every picture that the reports have data for; returns the paths."""
    return save([(f"{name}.png", draw, reports) for name, draw in PICTURES.items()], folder)
