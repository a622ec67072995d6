"""What moesim predicts, kept: runs the cases of cases.json and compares with predictions/NAME.json.

usage: predictions.py test MOESIM GROUP     exits with 1 if a prediction moved or is not kept
       predictions.py update MOESIM         keeps today's predictions and prints what moved

Groups: `variants`, the rows of cases.json (a shipped scenario and the fields that a row sets), and
`shipped`, every scenario of sim/scenarios as it is. Every case is also run by SimGrid, and both
backends have to agree on the end of every task.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
KEPT = FOLDER / "predictions"
SCENARIOS = FOLDER.parents[1] / "sim" / "scenarios"
TOO_LARGE = {"deepseek_v3_decode_dp2048_ep256"}  # for SimGrid in a test; its groups are ep256's
TOLERANCE = 1e-9  # relative
NOTHING = 1e-12   # below this (a picosecond, a part in 1e12) two figures are equal


def cases(group):
    """{name: (scenario, {pointer: value})}"""
    if group == "shipped":
        return {path.stem: (path, {}) for path in sorted(SCENARIOS.glob("*.json"))
                if path.stem not in TOO_LARGE}
    rows = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
    found = {row["name"]: (SCENARIOS / (row["scenario"] + ".json"), row["set"]) for row in rows}
    assert len(found) == len(rows), "two rows of cases.json have the same name"
    return found


def predict(moesim, scenario, settings):
    """The figures of one case. Throws RuntimeError with what the program said."""
    command = [moesim, "simulate", str(scenario), "--json", "--crosscheck", "--threads", "1"]
    for pointer, value in settings.items():
        command += ["--set", f"{pointer}={value if isinstance(value, str) else json.dumps(value)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    laws = report["provenance"]["kernels"] + report["provenance"]["communication"]
    return {
        "metrics": report["metrics"],
        "breakdown": report["breakdown"],
        "laws": {law["family"]: {"profile": law["profile"], "basis": law["basis"],
                                 "mean_device_s": law["mean_device_s"]}
                 for law in laws if law.get("calls", 0) > 0},
        "warnings": report["warnings"],
    }


def predict_all(moesim, chosen):
    """{name: figures, or the RuntimeError}"""
    def attempt(case):
        try:
            return predict(moesim, *case)
        except RuntimeError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(chosen, pool.map(attempt, chosen.values())))


def flat(value, pointer=""):
    """Yields (pointer, leaf)."""
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from flat(inner, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    else:
        yield pointer, value


def same(old, new):
    if isinstance(old, bool) or isinstance(new, bool) or isinstance(old, str):
        return old == new
    return abs(old - new) <= max(TOLERANCE * max(abs(old), abs(new)), NOTHING)


def moved(old, new):
    """[(pointer, old, new)] of what differs; None stands for a missing value."""
    olds, news = dict(flat(old)), dict(flat(new))
    rows = []
    for pointer in sorted(olds.keys() | news.keys()):
        a, b = olds.get(pointer), news.get(pointer)
        if a is None or b is None or isinstance(a, str) != isinstance(b, str) or not same(a, b):
            rows.append((pointer, a, b))
    return rows


def described(row):
    pointer, old, new = row
    if old is None:
        return f"{pointer}: {new} is new"
    if new is None:
        return f"{pointer}: {old} is gone"
    if isinstance(old, (bool, str)) or isinstance(new, (bool, str)) or old == 0:
        return f"{pointer}: {old} -> {new}"
    return f"{pointer}: {old} -> {new} ({new / old - 1:+.3g} relative)"


def kept(name):
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def test(moesim, group):
    chosen = cases(group)
    problems = []
    names = set(cases("shipped")) | set(cases("variants"))
    for path in sorted(KEPT.glob("*.json")):
        if path.stem not in names:
            problems.append(f"{path.name}: no case has this name any more")
    for name, figures in predict_all(moesim, chosen).items():
        file = f"predictions/{name}.json"
        if isinstance(figures, RuntimeError):
            problems.append(f"{file}: {figures}")
        elif not kept(name):
            problems.append(f"{file}: is missing")
        else:
            problems += [f"{file}#{described(row)}" for row in moved(kept(name), figures)]
    if problems:
        print("\n".join(problems))
        print(f"\n{len(problems)} figures moved. If they should, `./dev goldens` keeps the new ones; "
              "the commit says which moved and why.")
        return 1
    print(f"{len(chosen)} cases, no figure moved")
    return 0


def update(moesim):
    chosen = {**cases("shipped"), **cases("variants")}
    KEPT.mkdir(exist_ok=True)
    for path in sorted(KEPT.glob("*.json")):
        if path.stem not in chosen:
            path.unlink()
            print(f"{path.name}: deleted, no case has this name")
    for name, figures in predict_all(moesim, chosen).items():
        if isinstance(figures, RuntimeError):
            sys.exit(f"{name}: {figures}")
        rows = moved(kept(name), figures)
        if not rows:
            continue
        if kept(name):
            print(name)
            print("".join(f"  {described(row)}\n" for row in rows), end="")
        else:
            print(f"{name}: new")
        text = json.dumps(figures, indent=1, sort_keys=True) + "\n"
        (KEPT / f"{name}.json").write_text(text, encoding="utf-8")
    return 0


def main():
    match sys.argv[1:]:
        case ["test", moesim, ("shipped" | "variants") as group]:
            return test(moesim, group)
        case ["update", moesim]:
            return update(moesim)
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
