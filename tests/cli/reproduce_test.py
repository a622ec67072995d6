"""moesim reproduce: tables, documents, and what it says of wrong input.

usage: reproduce_test.py MOESIM
"""

import json
import pathlib
import subprocess
import sys
import tempfile

MOESIM = sys.argv[1]
CLAIMS = [
    {"id": "faster", "kind": "predict", "unit": "x", "value": 1.0,
     "tolerance": {"type": "relative", "value": 0.9}, "evidence": "a test"},
    {"id": "other", "kind": "report", "unit": "%", "value": 3,
     "tolerance": {"type": "none", "value": None}},
]
SCENARIO = {
    "claims": ["faster"],
    "runs": {"a": {"base": "base.json"},
             "b": {"base": "base.json", "set": {"/placement/policy": "round_robin"}}},
    "measure": "a.metrics.step_s / b.metrics.step_s",
    "assumed": ["everything"],
}


def run(*arguments):
    return subprocess.run([MOESIM, "reproduce", *map(str, arguments)], capture_output=True,
                          text=True, check=False)


def expect(condition, what):
    if not condition:
        sys.exit(f"reproduce_test: {what}")


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    (root / "scenarios").mkdir()
    claims = root / "claims.json"
    claims.write_text(json.dumps(CLAIMS))
    source = pathlib.Path(__file__).parents[2] / "sim" / "scenarios"
    base = (source / "mixtral_8x7b_decode_tp2ep4_h100.json").read_text()
    (root / "scenarios" / "faster.json").write_text(json.dumps(SCENARIO))
    options = ["--claims", claims, "--scenarios", root / "scenarios"]

    missing = run(*options)
    expect(missing.returncode == 2 and "#/runs/a/base" in missing.stderr, missing.stderr)

    SCENARIO["runs"]["a"]["base"] = SCENARIO["runs"]["b"]["base"] = "setups/base.json"
    (root / "scenarios" / "setups").mkdir()
    (root / "scenarios" / "setups" / "base.json").write_text(base)
    (root / "scenarios" / "faster.json").write_text(json.dumps(SCENARIO))

    table = run(*options)
    expect(table.returncode == 0, table.stderr)
    for word in ("faster", "reproduced", "assumed: everything", "a test",
                 "predict: 1 reproduced", "report: 1 not_attempted"):
        expect(word in table.stdout, f"\"{word}\" is missing in:\n{table.stdout}")
    expect(table.stderr == "", table.stderr)  # no progress bar where nobody looks

    document = json.loads(run(*options, "--json").stdout)
    expect([c["verdict"] for c in document["claims"]] == ["reproduced", "not_attempted"],
           document)
    for claim in document["claims"]:
        for key in ("id", "published", "simulated", "ratio", "tolerance", "verdict", "scenario"):
            expect(key in claim, f"{claim['id']} has no {key}")
    one, two = (run(*options, "--json", "--threads", n).stdout for n in (1, 2))
    expect(one == two, "verdicts depend on the number of threads")

    single = json.loads(run("other", *options, "--json").stdout)["claims"]
    expect([c["id"] for c in single] == ["other"], single)

    unknown = run("fastr", *options)
    expect(unknown.returncode == 2 and "nearest are: faster" in unknown.stderr, unknown.stderr)
    nowhere = run("--claims", claims, "--scenarios", root / "none")
    expect(nowhere.returncode == 2 and "--scenarios" in nowhere.stderr, nowhere.stderr)
    claims.write_text('{"claims": []}')
    no_array = run(*options)
    expect(no_array.returncode == 2 and "claims.json#" in no_array.stderr, no_array.stderr)
    expect(run().returncode == 2, "--claims is required")
