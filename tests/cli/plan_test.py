"""moesim plan: bad input is refused with the field, the report has the contract's keys.

usage: plan_test.py MOESIM SCENARIO_DIR
"""

import json
import pathlib
import subprocess
import sys

MOESIM, SCENARIOS = sys.argv[1:3]
SCENARIO = pathlib.Path(SCENARIOS) / "mixtral_8x7b_train_64_h100.json"
STEP = pathlib.Path(SCENARIOS) / "mixtral_8x7b_decode_tp2ep4_h100.json"
SMALL = ('/search={"tp": [1], "cp": [1], "pp": [4, 8], "etp": [1], "ep": [8], "vpp": [1], '
         '"micro_batch": [1], "recompute": ["none"], "zero": [1], "simulations": 2}')
KEYS = {"answer", "best", "pareto", "binding", "sensitivities", "win_probability", "evaluated",
        "pruned"}

failures = 0


def check(ok, name, what=""):
    global failures
    if not ok:
        failures += 1
        print(f"{name}: {what}")


def run(*arguments):
    return subprocess.run([MOESIM, "plan", *map(str, arguments)], capture_output=True, text=True,
                          check=False)


def refused(name, words, *arguments):
    result = run(*arguments)
    check(result.returncode == 2, name, f"exit code {result.returncode}")
    check(result.stdout == "", name, "something was printed on stdout")
    for word in words:
        check(word in result.stderr, name, f"the message lacks {word!r}: {result.stderr}")


def bad_input():
    refused("no scenario", ["scenario"])
    refused("no such file", ["missing.json"], "missing.json")
    refused("a step", ["train"], STEP)
    refused("a typo", ["/search/tpp"], SCENARIO, "--set", '/search={"tpp": [1]}')
    refused("an unknown pipeline", ["/search/pipeline"], SCENARIO, "--set",
            '/search={"pipeline": ["2f2b"]}')
    refused("no list", ["/search/tp"], SCENARIO, "--set", '/search={"tp": 1}')


def nothing_legal():
    result = run(SCENARIO, "--set", '/search={"tp": [3]}', "--json")
    check(result.returncode == 0, "tp 3", result.stderr)
    answer = json.loads(result.stdout)["answer"]
    check("no legal layout" in answer and "divide 64 devices" in answer, "tp 3", answer)


def small_search():
    report = json.loads(run(SCENARIO, "--set", SMALL, "--json").stdout)
    check(KEYS <= report.keys(), "keys", f"{sorted(KEYS - report.keys())} are missing")
    best = {"scenario", "metrics", "devices", "usd_per_hour"}
    check(best <= report["best"].keys(), "best", str(report["best"].keys()))
    text = run(SCENARIO, "--set", SMALL)
    check(text.returncode == 0 and report["answer"] in text.stdout, "table", text.stdout)


bad_input()
nothing_legal()
small_search()
sys.exit(1 if failures else 0)
