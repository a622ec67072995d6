"""Writes docs/accuracy.md: what is known of how far predictions are from measurements.

usage: accuracy.py write                what is shipped -> docs/accuracy.md
       accuracy.py measure MOESIM DATA  judges the shipped profiles by the measurements in DATA, keeps
                                        the errors in calibrate/accuracy*.json, then writes
       accuracy.py test                 exits with 1 if docs/accuracy.md is not what `write` writes

The text is docs/accuracy.in.md, in which a line `{{name}}` stands for the table of that name. Tables
come from shipped files alone: errors recorded in models/profiles and models/comm/profiles, the kept
errors in calibrate/accuracy*.json, the predictions in tests/golden/predictions.
"""

import difflib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXT = ROOT / "docs" / "accuracy.in.md"
PAGE = ROOT / "docs" / "accuracy.md"
# What `measure` keeps: file, arguments of `moesim validate`, kept figures of a group.
KEPT = {
    "kernels": ("accuracy.json", ["kernels"], ["median_ape", "p90_ape"]),
    "collectives": ("accuracy_collectives.json", ["collectives"],
                    ["median_ape", "p90_ape", "mean_signed_error", "inside_p10_p90",
                     "naive_median_ape"]),
    "devices": ("accuracy_other_devices.json", ["kernels", "--leave-device-out"],
                ["median_ape", "p90_ape", "mean_signed_error", "inside_p10_p90",
                 "naive_median_ape", "profiles"]),
}
MODELS = ROOT / "calibrate" / "accuracy_models.json"  # rows with the widths of a catalogued model
KINDS = [  # of the summary: name, operations of profiles
    ("routed experts", {"moe", "moe_ungated"}),
    ("products", {"gemm", "batched_gemm", "mlp"}),
    ("attention and MLA", {"attention_context", "attention_decode", "mla_context", "mla_decode",
                           "mla_module_context", "mla_module_decode",
                           "attention_window_context", "attention_window_decode"}),
    ("sparse and linear attention", {"sparse_context", "sparse_decode", "indexer_context",
                                     "indexer_decode", "linear_context", "linear_decode",
                                     "convolution_context", "convolution_decode"}),
    ("norms, copies, quantisation", {"memory"}),
]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def percent(value, digits=1):
    return f"{100 * value:.{digits}f}"


def pair(error, digits=1):
    return f"{percent(error['median'], digits)} / {percent(error['p90'], digits)}"


def table(heads, rows):
    """Markdown; a head that ends in ':' is a column of numbers."""
    lines = ["| " + " | ".join(head.rstrip(":") for head in heads) + " |",
             "|" + "|".join("---:" if head.endswith(":") else "---" for head in heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def families():
    """Every measured kernel family of the shipped profiles: (profile, family)."""
    for path in sorted((ROOT / "models" / "profiles").glob("*.json")):
        profile = read(path)
        if path.stem != "spec_sheet":  # coefficients of devices that nobody measured
            for family in profile["families"]:
                yield profile, family


def format_of(family):
    if family["operation"] == "memory":
        return family["operation"]
    stored = "" if family["storage"] == family["dtype"] else "-" + family["storage"]
    return f"{family['operation']}/{family['dtype']}{stored}"


def summary_table():
    rows = []
    kinds = [(name, [f for _, f in families() if f["operation"] in of]) for name, of in KINDS]
    kinds.append(("all", [f for _, f in families()]))
    assert len(kinds[-1][1]) == sum(len(found) for _, found in kinds[:-1]), "KINDS has a gap"
    for name, found in kinds:
        weight = sum(f["rows_used"] for f in found)

        def mean(key, part, found=found, weight=weight):
            return percent(sum(f[key][part] * f["rows_used"] for f in found) / weight)

        medians = [f["error_left_out"]["median"] for f in found]
        rows.append([name, len(found), f"{weight:,}",
                     f"{mean('error_left_out', 'median')} / {mean('error_left_out', 'p90')}",
                     f"{percent(min(medians))} to {percent(max(medians))}",
                     mean("error_left_out_nearest_neighbour", "median"),
                     mean("error_naive_roofline", "median"),
                     percent(sum(f["inside_p10_p90"] * f["rows_used"] for f in found) / weight, 0)])
    return table(["kernels", "families:", "rows:", "left out, mean of medians / of p90s:",
                  "family medians:", "nearest shape:", "naive roofline:", "inside p10-p90, %:"],
                 rows)


def families_table():
    rows = []
    for profile, family in families():
        form_alone = family["error_left_out"] == family["error_left_out_form"]
        rows.append([
            profile["device"], f"{profile['framework']}-{profile['version']}", format_of(family),
            f"`{family['kernel_source']}`", f"{family['rows_used']:,}", family["rows_erratic"],
            f"**{pair(family['error_left_out'])}**" + (" (form)" if form_alone else ""),
            pair(family["error_in_sample"]), pair(family["error_left_out_form"]),
            pair(family["error_left_out_nearest_neighbour"]), pair(family["error_naive_roofline"]),
            percent(family["inside_p10_p90"], 0)])
    return table(["device", "framework", "family", "kernel", "rows:", "erratic:", "left out:",
                  "in sample:", "form alone:", "nearest shape:", "naive roofline:",
                  "inside p10-p90, %:"], rows)


def kept(name):
    return read(ROOT / "calibrate" / KEPT[name][0]).items()


def kernels_table():
    return table(["group", "rows:", "median / p90:"],
                 [[name, f"{g['n']:,}", f"{percent(g['median_ape'])} / {percent(g['p90_ape'])}"]
                  for name, g in kept("kernels")])


def models_table():
    rows = read(MODELS)
    return table(["model", "group", "rows:", "median / p90:", "mean signed:"],
                 [[r["model"], r["group"], f"{r['n']:,}",
                   f"{percent(r['median_ape'])} / {percent(r['p90_ape'])}",
                   f"{100 * r['mean_signed_error']:+.1f}"] for r in rows])


def judged(group):
    return [f"{group['n']:,}", f"{percent(group['median_ape'])} / {percent(group['p90_ape'])}",
            f"{100 * group['mean_signed_error']:+.0f}", percent(group["inside_p10_p90"], 0),
            percent(group["naive_median_ape"], 0)]


def collectives_table():
    return table(["group", "rows:", "median / p90:", "mean signed:", "inside p10-p90, %:",
                  "bytes / nominal rate:"],
                 [[name, *judged(group)] for name, group in kept("collectives")])


def devices_table():
    return table(["group", "from", "rows:", "median / p90:", "mean signed:", "inside p10-p90, %:",
                  "naive roofline:"],
                 [[name, ", ".join(p.split(" ")[0] for p in group["profiles"]), *judged(group)]
                  for name, group in kept("devices")])


def span(numbers):
    low, high = numbers
    return f"{low}" if low == high else f"{low} to {high}"


def laws_table():
    rows = []
    for path in sorted((ROOT / "models" / "comm" / "profiles").glob("*.json")):
        profile = read(path)
        for law in profile.get("collectives", []) + profile.get("all_to_all", []):
            fit = law["fit"]
            name = (f"{law['op']}, {law['library']}" if "op" in law else
                    f"{law['algorithm']}, {law['direction']}, {law['scope'].replace('_', ' ')}")
            left_out = ("none" if "held_out" not in fit else
                        f"**{percent(fit['held_out_median_error'])} / "
                        f"{percent(fit['held_out_p90_error'])}** ({fit['held_out']})")
            rows.append([profile["device"], name, f"{fit['rows']:,}", span(fit["ranks"]), left_out,
                         f"{percent(fit['median_error'])} / {percent(fit['p90_error'])}"])
    return table(["device", "law", "rows:", "ranks:", "left out:", "in sample:"], rows)


def steps_table():
    """Golden predictions beside published figures. A scenario without a golden has no row."""
    rows = []
    for step in read(ROOT / "docs" / "published_steps.json"):
        golden = ROOT / "tests" / "golden" / "predictions" / (step["scenario"] + ".json")
        if golden.exists():
            metrics = read(golden)["metrics"]
            simulated = metrics[step["metric"]]
            rows.append([step["figure"], f"`{step['scenario']}`", f"{step['published']:,}",
                         f"{simulated:,.0f}", f"{100 * (simulated / step['published'] - 1):+.0f}",
                         f"{percent(metrics['exposed_communication_s'] / metrics['step_s'], 0)}",
                         step["read_with"], step["source"]])
    return table(["figure", "scenario", "published:", "simulated:", "error, %:",
                  "exposed communication, % of the step:", "to be read with", "source"], rows)


TABLES = {"summary": summary_table, "families": families_table, "kernels": kernels_table,
          "models": models_table, "devices": devices_table, "laws": laws_table, "collectives": collectives_table,
          "steps": steps_table}


def page():
    used = set()

    def filled(match):
        used.add(match.group(1))
        return TABLES[match.group(1)]()

    text = re.sub(r"^\{\{(\w+)\}\}$", filled, TEXT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert used == set(TABLES), f"{TEXT} leaves out {set(TABLES) - used}"
    return text


def rounded(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write_models(rows):
    rounded_rows = [{key: value if isinstance(value, str) else rounded(value)
                     for key, value in row.items()} for row in rows]
    MODELS.write_text("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rounded_rows) + "\n]\n",
                      encoding="utf-8")


def measure(moesim, data):
    for file, arguments, keys in KEPT.values():
        done = subprocess.run([moesim, "validate", arguments[0], data, *arguments[1:], "--json"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"accuracy.py: moesim validate {arguments[0]}: {done.stderr.strip()}")
        document = json.loads(done.stdout)
        if arguments == ["kernels"]:
            write_models(document["models"])
        lines = []
        for group in sorted(document["groups"], key=lambda group: group["name"]):
            figures = {**group, **group.get("baseline", {})}
            row = {key: rounded(figures[key]) for key in ["n", *keys]}
            lines.append(f"  {json.dumps(group['name'])}: {json.dumps(row)}")
        (ROOT / "calibrate" / file).write_text("{\n" + ",\n".join(lines) + "\n}\n",
                                               encoding="utf-8")


def main(arguments):
    match arguments:
        case ["write"]:
            PAGE.write_text(page(), encoding="utf-8")
        case ["measure", moesim, data]:
            measure(moesim, data)
            PAGE.write_text(page(), encoding="utf-8")
        case ["test"]:
            there = PAGE.read_text(encoding="utf-8").splitlines()
            differences = list(difflib.unified_diff(there, page().splitlines(), "docs/accuracy.md",
                                                    "what ./dev accuracy writes", lineterm="", n=0))
            if differences:
                print("\n".join(differences[:20]))
                return 1
        case _:
            sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
