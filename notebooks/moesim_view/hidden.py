"""What hides which communication: the mean device's exchanges, beside kernels and on their own. For
reports of steps and of training iterations."""

import matplotlib.pyplot as plt

from moesim_view.plots import COLOURS, time_scale

# Every communication of the reports; all other categories are kernels.
COMMUNICATION = ("dispatch", "combine", "tensor_parallel", "context_parallel", "pipeline_send",
                 "gradient_reduction", "parameter_gather")


class Exchange:
    """One kind of communication on the mean device, in seconds."""

    def __init__(self, name, exposed_s, under):
        self.name = name
        self.exposed_s = exposed_s
        self.under = under  # {kernel: seconds}
        self.hidden_s = sum(under.values())


def exchanges(report):
    """The report's exchanges that take time, longest first. Without overlap all are exposed."""
    if report.has("/breakdown/hidden"):
        found = [Exchange(name, report.at(f"/breakdown/hidden/{name}/exposed_s", float),
                          {kernel.removesuffix("_s"): seconds for kernel, seconds
                           in report.at(f"/breakdown/hidden/{name}/under", dict).items()})
                 for name in report.at("/breakdown/hidden", dict)]
    else:
        mean = "/mean_device" if report.has("/mean_device") else "/breakdown"
        found = [Exchange(name, report.at(f"{mean}/{name}_s", float), {}) for name in COMMUNICATION
                 if report.has(f"{mean}/{name}_s")]
    found = [exchange for exchange in found if exchange.exposed_s + exchange.hidden_s > 0]
    return sorted(found, key=lambda exchange: -exchange.exposed_s - exchange.hidden_s)


def kernels_s(report):
    """Seconds that the mean device spends on kernels."""
    mean = "/mean_device" if report.has("/mean_device") else "/breakdown"
    return sum(report.at(f"{mean}/{key}", float) for key in report.at(mean, dict)
               if key.removesuffix("_s") not in (*COMMUNICATION, "waiting", "bubble", "hidden"))


def hidden_under(report):
    """{kernel: seconds of communication that it hides}."""
    total = {}
    for exchange in exchanges(report):
        for kernel, seconds in exchange.under.items():
            total[kernel] = total.get(kernel, 0.0) + seconds
    return total


def table(reports):
    """A text: for every report its step and, per exchange, what is exposed, what is hidden, by what."""
    longest = max(report.at("/metrics/step_s", float) for report in reports)
    factor, unit = time_scale(longest)
    lines = [f"{'':28}{'exposed':>9}{'hidden':>9}  under ({unit})"]
    for report in reports:
        step = report.at("/metrics/step_s", float) * factor
        lines.append(f"{report.label}: {step:.4g} {unit}")
        for exchange in exchanges(report):
            parts = sorted(exchange.under.items(), key=lambda part: -part[1])
            under = ", ".join(f"{kernel} {seconds * factor:.3g}" for kernel, seconds in parts
                              if seconds * factor >= 0.005)
            lines.append(f"  {exchange.name:26}{exchange.exposed_s * factor:9.3g}"
                         f"{exchange.hidden_s * factor:9.3g}  {under}")
    return "\n".join(lines)


def draw(reports):
    """One bar per report and exchange: what is exposed, then what each kernel hides."""
    rows = [(report, exchange) for report in reports for exchange in exchanges(report)]
    kernels = sorted({kernel for _, exchange in rows for kernel in exchange.under})
    colours = {kernel: COLOURS[1 + i % (len(COLOURS) - 1)] for i, kernel in enumerate(kernels)}
    factor, unit = time_scale(max(e.exposed_s + e.hidden_s for _, e in rows))
    figure, axes = plt.subplots(figsize=(9, 1.3 + 0.32 * len(rows)))
    for row, (_, exchange) in enumerate(rows):
        parts = [("exposed", exchange.exposed_s, COLOURS[0])]
        parts += [(kernel, exchange.under.get(kernel, 0.0), colours[kernel]) for kernel in kernels]
        left = 0.0
        for name, seconds, colour in parts:
            axes.barh(row, seconds * factor, left=left, color=colour, label=name.replace("_", " ") if row == 0 else None)
            left += seconds * factor
    axes.set_yticks(range(len(rows)), [f"{report.label}: {e.name.replace('_', ' ')}" for report, e in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"time of the mean device ({unit})")
    axes.set_title("Communication: exposed, and hidden under which kernel")
    axes.legend(frameon=False, ncols=2, fontsize=9)
    return figure
