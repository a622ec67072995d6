"""moesim place: bad problems are refused with the field, the clock and Ctrl-C leave a placement.

usage: place_test.py MOESIM SCENARIO_DIR
"""

import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

GOOD = {
    "layers": 2, "experts": 3, "gpus": 3, "gpus_per_node": 3, "capacity": [1, 1, 1], "top_k": 1,
    "loads": [[3, 2, 1], [2, 2, 2]], "transitions": [[[1, 1, 1], [1, 1, 0], [0, 0, 1]]],
}

BAD = [
    # name, changes (None removes), words that the message must contain
    ("negative load", {"loads": [[3, -2, 1], [2, 2, 2]]}, ["#/loads/0/1", "-2"]),
    ("ragged loads", {"loads": [[3, 2, 1], [2, 2]]}, ["#/loads/1", "2 loads for 3 experts"]),
    ("no loads left", {"loads": []}, ["#/loads", "no loads"]),
    ("text in loads", {"loads": [[3, "2", 1], [2, 2, 2]]}, ["#/loads/0/1", "not a number"]),
    ("ragged transitions", {"transitions": [[[1, 1, 1], [1, 1], [0, 0, 1]]]},
     ["#/transitions/0/1", "2 entries for 3 experts"]),
    ("transitions for one layer more", {"transitions": GOOD["transitions"] * 2},
     ["#/transitions", "2 matrices for 2 layers"]),
    ("transitions that contradict the loads",
     {"transitions": [[[2, 1, 1], [1, 1, 0], [0, 0, 1]]]},
     ["#/transitions/0/0", "sums to 4", "loads[0][0] is 3"]),
    ("columns that contradict the loads",
     {"transitions": [[[2, 0, 1], [1, 1, 0], [0, 0, 1]]]},
     ["#/transitions/0", "column 0 sums to 3", "loads[1][0] is 2"]),
    ("fewer slots than experts", {"capacity": [1, 1, 0]}, ["#/capacity", "2 slots", "3 experts"]),
    ("slots left over", {"capacity": [2, 1, 1]}, ["#/capacity", "4 slots", "capacity_mode"]),
    ("slots for too few GPUs", {"capacity": [2, 2]}, ["#/capacity", "2 entries for 3"]),
    ("an expert larger than a GPU", {"expert_bytes": "30 GB", "gpu_memory": "40 GB"},
     ["#/expert_bytes", "larger than gpu_memory"]),
    ("memory for fewer experts than slots",
     {"capacity": [2, 1, 1], "capacity_mode": "max", "expert_bytes": "10 GB",
      "gpu_memory": "30 GB"}, ["#/capacity", "GPU 0", "room for 1"]),
    ("bytes without a unit", {"expert_bytes": 3}, ["#/expert_bytes"]),
    ("nodes that do not divide", {"gpus_per_node": 2}, ["#/gpus_per_node", "divisor"]),
    ("a typo", {"capacities": [1, 1, 1]}, ["#/capacities", "unknown key"]),
    ("an expert pinned twice", {"pinned": [{"expert": 0, "gpu": 1}, {"expert": 0, "gpu": 2}]},
     ["#/forbidden", "expert 0"]),
    ("a GPU that is not there", {"forbidden": [{"expert": 0, "gpu": 3}]},
     ["#/forbidden/0/gpu", "3"]),
    ("cheap networks", {"c_intra": 2, "c_inter": 1}, ["#/c_inter", "c_intra"]),
    ("no token sets", {"comm_model": "dispatch"}, ["#/token_sets", "missing"]),
    ("a slow GPU that stands still", {"slowness": [1, 0, 1]}, ["#/slowness/1"]),
]

failures = 0


def check(ok, name, what=""):
    global failures
    if not ok:
        failures += 1
        print(f"{name}: {what}")


def run(*arguments):
    return subprocess.run([MOESIM, "place", *map(str, arguments)], capture_output=True, text=True)


def bad_problems(folder):
    path = folder / "p.json"
    path.write_text(json.dumps(GOOD))
    good = run(path, "--json")
    check(good.returncode == 0 and json.loads(good.stdout)["proven_optimal"], "good", good.stderr)
    for name, changes, words in BAD:
        document = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
        path.write_text(json.dumps(document))
        result = run(path, "--json")
        check(result.returncode == 2, name, f"exit code {result.returncode}")
        check(result.stdout == "", name, "something was printed on stdout")
        check(result.stderr.count("\n") == 1, name, "not exactly one line on stderr")
        for word in ["p.json", *words]:
            check(word in result.stderr, name, f"the message lacks {word!r}: {result.stderr}")


def large_problem(path, layers=30, experts=128, gpus=16):
    rng = random.Random(1)
    matrix = [[[float(rng.randrange(20)) for _ in range(experts)] for _ in range(experts)]
              for _ in range(layers - 1)]
    # Loads that agree with the pairs: scale every layer's matrix to the columns of the one before.
    loads = [[sum(row) for row in matrix[0]]]
    for l, pairs in enumerate(matrix):
        for a, row in enumerate(pairs):
            factor = loads[l][a] / sum(row)
            pairs[a] = [x * factor for x in row]
        loads.append([sum(row[b] for row in pairs) for b in range(experts)])
    path.write_text(json.dumps({"gpus": gpus, "gpus_per_node": 8, "loads": loads,
                                "transitions": matrix, "c_intra": 0.1, "c_inter": 0.8,
                                "beta": 0.05}))


def sound(text, name):
    report = json.loads(text)
    check(report["lower_bound"] <= report["objective"], name, "a bound above the objective")
    check(0 < report["gap"] < 10, name, f"gap {report['gap']}")
    for row in report["placement"]:
        check(len(row) == 128 and all(row.count(g) == 8 for g in range(16)), name, "not a placement")


def ended_early(folder):
    path = folder / "large.json"
    large_problem(path)
    export = folder / "placement.json"
    limited = run(path, "--time-limit", "1", "--json", "--export", f"sglang:{export}")
    check(limited.returncode == 0, "time limit", limited.stderr)
    sound(limited.stdout, "time limit")
    check(len(json.loads(export.read_text())["physical_to_logical_map"]) == 30, "time limit",
          "no export")
    with subprocess.Popen([MOESIM, "place", path, "--time-limit", "100", "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        time.sleep(1.5)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        check(child.returncode == 0, "interrupt", f"exit code {child.returncode}")
        check("interrupted" in err, "interrupt", err)
        sound(out, "interrupt")


def scenario(folder, scenarios):
    path = folder / "experts.json"
    result = run(scenarios / "deepseek_v2_lite_decode_ep8_h100.json", "--json", "--simulate",
                 "--batches", "1", "--statistics-tokens", "2048", "--export", f"vllm-ascend:{path}")
    check(result.returncode == 0, "scenario", result.stderr)
    report = json.loads(result.stdout)
    check(report["unit"] == "s", "scenario", "costs are not in seconds")
    rows = {(row["placement"], row["part"]): row for row in report["verdict"]}
    check(set(rows) == {(p, s) for p in ("contiguous", "eplb", "found")
                        for s in ("fitted", "unseen")}, "scenario", f"rows {sorted(rows)}")
    check(rows["found", "unseen"]["balancedness"] > rows["contiguous", "unseen"]["balancedness"],
          "scenario", "no better balanced than contiguous")
    check(rows["found", "unseen"]["step_s"] != rows["found", "fitted"]["step_s"], "scenario",
          "unseen batches are those of the statistics")
    layers = json.loads(path.read_text())
    check(layers["moe_layer_count"] == 26, "scenario", "export lacks layers")
    moved = run("diff", path, path, scenarios / "deepseek_v2_lite_decode_ep8_h100.json", "--json")
    diff = json.loads(moved.stdout)
    check(diff["loaded"] == 0 and diff["kept"] == 26 * 64, "diff", moved.stdout[:200])
    check(diff["before"]["score"]["objective"] > 0, "diff", "no costs")
    again = run(scenarios / "deepseek_v2_lite_decode_ep8_h100.json", "--json",
                "--statistics-tokens", "2048", "--threads", "2")
    same = json.loads(again.stdout)
    check(same["placement"] == report["placement"], "scenario", "threads change the placement")


MOESIM = sys.argv[1]
with tempfile.TemporaryDirectory() as name:
    bad_problems(pathlib.Path(name))
    ended_early(pathlib.Path(name))
    scenario(pathlib.Path(name), pathlib.Path(sys.argv[2]))
sys.exit(1 if failures else 0)
