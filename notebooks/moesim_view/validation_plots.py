"""Pictures of predictions against measurements."""

import matplotlib.pyplot as plt
import numpy
from matplotlib.ticker import NullLocator

from moesim_view.plots import COLOURS, STYLE, legend_below, save_figure

MOST_POINTS = 20_000  # per panel; more only make a larger file
MANY_POINTS = 1000  # drawn smaller, under the line of equality
MOST_PANELS = 12  # per picture
LEAST_ROWS = 10  # of a regime
BAND = 0.2
PERCENTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]  # on the axis of errors
WIDEST = 150  # per cent; diamonds beyond are left out


def drawn(count):
    """Indices of the points that are drawn: evenly spaced, the same in every run."""
    if count <= MOST_POINTS:
        return numpy.arange(count)
    return numpy.arange(MOST_POINTS) * count // MOST_POINTS


def percentile(errors, share):
    return float(numpy.quantile(errors, share))


def draw_scatter(groups):
    """Predicted against measured time, one panel per group."""
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure, grid = plt.subplots(rows, columns, squeeze=False, figsize=(1 + 4.3 * columns, 1 + 3.9 * rows))
    for axes in grid.flat[len(groups):]:
        axes.set_visible(False)
    for axes, group, colour in zip(grid.flat, groups, COLOURS):
        chosen = drawn(len(group.column("measured_s")))
        measured, predicted = (group.column(key)[chosen] for key in ("measured_s", "predicted_s"))
        ends = numpy.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
        axes.fill_between(ends, ends * (1 - BAND), ends * (1 + BAND), color="#dddddd", linewidth=0)
        many = len(chosen) > MANY_POINTS
        axes.plot(ends, ends, color="black", linewidth=0.8, zorder=3 if many else 1)
        axes.scatter(measured, predicted, s=4 if many else 14, color=colour, alpha=0.35 if many else 0.6,
                     linewidth=0, rasterized=True)
        axes.set_xscale("log")
        axes.set_yscale("log")
        errors = group.errors()
        axes.set_title(group.panel, fontsize=9)
        axes.text(0.04, 0.96, f"{len(errors)} rows\nmedian {100 * percentile(errors, 0.5):.1f} %, "
                  f"p90 {100 * percentile(errors, 0.9):.0f} %\n"
                  f"{100 * group.inside():.0f} % inside p10-p90", transform=axes.transAxes, va="top",
                  fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("predicted (s)")
    for axes in grid[-1]:
        axes.set_xlabel("measured (s)")
    figure.suptitle(f"{groups[0].operation}: grey band within {100 * BAND:.0f} %", x=0.01, ha="left",
                    fontweight="bold")
    return figure


def regimes(values, errors):
    """(middles, medians, p90s) of the errors in ranges [2^i, 2^(i+1)) of the values."""
    usable = values > 0
    values, errors = values[usable], errors[usable]
    exponents = numpy.floor(numpy.log2(values) + 1e-9)
    kept = [(e, errors[exponents == e]) for e in numpy.unique(exponents)]
    kept = [(e, part) for e, part in kept if len(part) >= LEAST_ROWS]
    return ([2 ** (e + 0.5) for e, _ in kept], [percentile(part, 0.5) for _, part in kept],
            [percentile(part, 0.9) for _, part in kept])


def draw_regimes(groups):
    """Errors against size, experts per rank (or ranks) and measured time; None if no range has rows."""
    variables = list(dict.fromkeys(what for group in groups for what, _ in group.variables()))
    legend_rows = -(-len(groups) // len(variables))
    figure = plt.figure(figsize=(1 + 4.8 * len(variables), 4.4 + 0.27 * legend_rows))
    spec = figure.add_gridspec(2, len(variables), height_ratios=[4.4, 0.27 * legend_rows])
    grid = [figure.add_subplot(spec[0, 0])]
    grid += [figure.add_subplot(spec[0, i], sharey=grid[0]) for i in range(1, len(variables))]
    any_line = False
    for group, colour in zip(groups, COLOURS):
        errors = group.errors()
        for what, values in group.variables():
            middles, medians, p90s = regimes(values, errors)
            any_line = any_line or bool(middles)
            axes = grid[variables.index(what)]
            axes.plot(middles, [100 * e for e in medians], marker="o", markersize=3.5, linewidth=1.4,
                      color=colour, label=group.panel if what == variables[0] else None)
            axes.plot(middles, [100 * e for e in p90s], linewidth=1, linestyle=":", color=colour)
    if not any_line:
        plt.close(figure)
        return None
    for axes, what in zip(grid, variables):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(what)
        axes.grid(axis="y", alpha=0.3)
    lowest, highest = grid[0].get_ylim()
    shown = [percent for percent in PERCENTS if lowest <= percent <= highest]
    grid[0].set_yticks(shown, [str(percent) for percent in shown])
    grid[0].yaxis.set_minor_locator(NullLocator())
    for axes in grid[1:]:
        axes.tick_params(labelleft=False)
    grid[0].set_ylabel("error (%); line: median, dotted: p90")
    grid[0].set_title(f"{groups[0].operation}: errors by regime")
    below = figure.add_subplot(spec[1, :])
    below.axis("off")
    below.legend(*grid[0].get_legend_handles_labels(), frameon=False, loc="center", fontsize=9,
                 ncols=len(variables))
    return figure


def draw_groups(groups):
    """Median error of every group (diamond: p90) over that of the naive roofline."""
    figure, axes = plt.subplots(figsize=(10, 1.6 + 0.3 * len(groups)))
    rows = numpy.arange(len(groups))
    errors = [group.errors() for group in groups]
    axes.barh(rows, [100 * percentile(group.naive_errors(), 0.5) for group in groups], 0.8,
              color="#cccccc", label="naive roofline, median")
    axes.barh(rows, [100 * percentile(e, 0.5) for e in errors], 0.5, color=COLOURS[0],
              label="moesim, median")
    axes.scatter([100 * percentile(e, 0.9) for e in errors], rows, marker="D", s=20, color=COLOURS[5],
                 zorder=3, label="moesim, p90")
    axes.set_yticks(rows, [f"{group.name} ({len(e)})" for group, e in zip(groups, errors)], fontsize=8)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(0, min(WIDEST, axes.get_xlim()[1]))
    axes.set_xlabel("error (%)")
    axes.set_title("Errors by group")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    legend_below(figure, axes, axes, columns=3)
    return figure


def pages(groups):
    """[(name, groups)]: one per operation, several where it has more groups than a picture holds."""
    result = []
    for operation in dict.fromkeys(group.operation for group in groups):
        own = [group for group in groups if group.operation == operation]
        for page, first in enumerate(range(0, len(own), MOST_PANELS)):
            name = operation if page == 0 else f"{operation}_{page + 1}"
            result.append((name, own[first:first + MOST_PANELS]))
    return result


def write_pngs(groups, folder):
    """Draws every picture; returns the paths."""
    written = []

    def save(name, figure):
        if figure is not None:
            path = folder / f"{name}.png"
            save_figure(figure, path)
            written.append(path)

    with plt.rc_context({**STYLE, "figure.constrained_layout.use": True}):
        for name, own in pages(groups):
            save(f"scatter_{name}", draw_scatter(own))
            save(f"regimes_{name}", draw_regimes(own))
        save("groups", draw_groups(groups))
    return written
