"""Pictures of placements: loads and traffic before and after, the gap over time, and what policies of
rebalancing make of drifting loads."""

from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import FuncFormatter

from moesim_view.plots import COLOURS, legend_below, plt, save, time_scale

NAMES = {"contiguous": "experts in order", "found": "placement found"}


def side_by_side(panels):
    """Axes for one or two square-ish maps that share their y axis."""
    figure, axes = plt.subplots(1, len(panels), sharey=True, squeeze=False,
                                figsize=(1.2 + 4.9 * len(panels), 4.8))
    for ax in axes[0]:
        ax.spines[:].set_visible(False)
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_major_locator().set_params(integer=True)
    return figure, axes[0]


def draw_heat(result):
    """[layer x GPU] load over the layer's mean, before and after; None without loads."""
    panels = result.loads()
    if not panels:
        return None
    figure, axes = side_by_side(panels)
    farthest = max(abs(load - 1) for _, rows in panels for row in rows for load in row)
    reach = max(farthest, 0.01)
    # White is balance, whatever the extremes.
    norm = TwoSlopeNorm(vcenter=1.0, vmin=max(0.0, 1 - reach), vmax=1 + reach)
    for ax, (name, rows) in zip(axes, panels):
        image = ax.imshow(rows, aspect="auto", interpolation="nearest", cmap="RdBu_r", norm=norm)
        busiest = sum(map(max, rows)) / len(rows)
        ax.set_title(f"{NAMES[name]}: busiest / mean {busiest:.3f}", fontsize=11)
        ax.set_xlabel("GPU")
    axes[0].set_ylabel("MoE layer")
    bar = figure.colorbar(image, ax=list(axes), label="load / mean load of the layer")
    bar.ax.set_yscale("linear")
    bar.outline.set_visible(False)
    figure.suptitle("Load of every GPU in every layer", x=0.01, ha="left", fontweight="bold")
    return figure


def short(count):
    for factor, unit in ((1e-12, "T"), (1e-9, "G"), (1e-6, "M"), (1e-3, "k")):
        if count * factor >= 1:
            return f"{count * factor:.3g} {unit}"
    return f"{count:.3g}"


def draw_traffic(result):
    """[GPU x GPU] token pairs that travel, before and after; None without traffic."""
    panels = result.pair("traffic")
    if not panels:
        return None
    figure, axes = side_by_side(panels)
    most = max(max(map(max, rows)) for _, rows in panels)
    for ax, (name, rows) in zip(axes, panels):
        image = ax.imshow(rows, aspect="equal", interpolation="nearest", cmap="viridis", vmin=0,
                          vmax=most or 1)
        total = sum(map(sum, rows))
        stays = sum(row[i] for i, row in enumerate(rows) if i < len(row))
        share = f", {100 * stays / total:.1f} % stay" if stays > 0 else ""
        ax.set_title(f"{NAMES[name]}: {short(total)} token pairs{share}", fontsize=11)
        ax.set_xlabel("to GPU")
    axes[0].set_ylabel("from GPU")
    bar = figure.colorbar(image, ax=list(axes), label="token pairs", shrink=0.85,
                          format=FuncFormatter(lambda value, _: short(value)))
    bar.outline.set_visible(False)
    figure.suptitle("Traffic between GPUs", x=0.01, ha="left", fontweight="bold")
    return figure


def draw_gap(result):
    """Best objective and lower bound against the solver's time; None without a history."""
    points = result.history()
    found = [objective for _, objective, _ in points if objective > 0]
    if not found:
        return None
    factor, unit = time_scale(max(found)) if result.in_seconds() else (1.0, "")
    figure, axes = plt.subplots(figsize=(9, 4.2))
    end = 1.15 * points[-1][0]  # so that the last step shows
    for column, style, what in ((1, "-", "best placement"), (2, "--", "lower bound")):
        line = [(point[0], point[column] * factor) for point in points if point[column] > 0]
        if line:  # the last value holds to the end
            axes.step(*zip(*line, (end, line[-1][1])), where="post", linestyle=style,
                      color=COLOURS[column - 1], linewidth=1.6, label=what)
    objective, bound = result.at("/objective", float), result.at("/lower_bound", float)
    if bound > 0:
        text = "proven optimal" if result.has("/proven_optimal") \
            and result.at("/proven_optimal", bool) else f"gap {100 * (objective / bound - 1):.2f} %"
        axes.annotate(text, (end, (objective + bound) / 2 * factor), xytext=(8, 0), va="center",
                      textcoords="offset points", annotation_clip=False)
    if 0 < 20 * points[0][0] < end:
        axes.set_xscale("log")
    axes.set_title("Objective and bound while solving")
    axes.set_xlabel("time of the solver (s)")
    axes.set_ylabel(f"objective ({unit})" if unit else "objective")
    axes.grid(axis="y", alpha=0.3)
    legend_below(figure, axes, axes, columns=2)
    return figure


def draw_rebalance(result):
    """Imbalance per window and time lost against the best policy so far, by policy."""
    policies = result.policies()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.4))
    windows = range(len(policies[0][2]))
    base = next((seconds for name, _, _, seconds in policies if name == "never"), policies[0][3])
    base_name = "never" if any(name == "never" for name, *_ in policies) else policies[0][0]
    saved = []
    for name, _, imbalance, seconds in policies:
        total, curve = 0.0, []
        for mine, theirs in zip(seconds, base):
            total += theirs - mine
            curve.append(total)
        saved.append((name, imbalance, curve))
    factor, unit = time_scale(max(max(map(abs, curve)) for _, _, curve in saved) or 1.0)
    for i, (name, imbalance, curve) in enumerate(saved):
        style = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.6, "label": name,
                 "linestyle": (0, (1 + i, 1)) if i else "-"}
        left.step(windows, imbalance, where="mid", **style)
        right.plot(windows, [value * factor for value in curve], **style)
    left.set_title("Imbalance")
    left.set_ylabel("busiest GPU's load / mean load")
    right.set_title(f"Time saved so far, against {base_name}")
    right.set_ylabel(f"expert time ({unit})")
    right.axhline(0, color="#666666", linewidth=1)
    for axes in (left, right):
        axes.set_xlabel("window")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", alpha=0.3)
    legend_below(figure, left, left, columns=3)
    return figure


def write_pngs(placements, rebalances, folder):
    """Draws every picture that the results have data for; returns the paths. With several results
    of one kind, file names end on their labels."""
    drawings = []
    for name, draw, results in (("heat", draw_heat, placements), ("traffic", draw_traffic, placements),
                                ("gap", draw_gap, placements),
                                ("rebalance", draw_rebalance, rebalances)):
        for result in results:
            suffix = f"-{result.label}" if len(results) > 1 else ""
            drawings.append((f"{name}{suffix}.png", draw, result))
    return save(drawings, folder)
