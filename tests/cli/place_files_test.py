"""Placement files, what moves between them, and rebalancing over a drifting trace.

usage: place_files_test.py MOESIM SCENARIO_DIR
"""

import json
import pathlib
import subprocess
import sys
import tempfile


def run(moesim, *arguments):
    done = subprocess.run([moesim, *map(str, arguments)], text=True, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def refused(moesim, *arguments):
    done = subprocess.run([moesim, *map(str, arguments)], text=True, capture_output=True, check=False)
    assert done.returncode == 2, (arguments, done.returncode, done.stderr)
    assert done.stdout == "", arguments
    return done.stderr


def check_diff(moesim, folder):
    """Two formats of one model; layer 1 swaps experts 0 and 3 between the nodes."""
    before, after, problem = (folder / name for name in ("a.json", "b.yaml", "p.json"))
    before.write_text('{"physical_to_logical_map": [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]}')
    after.write_text("initial_global_assignments:\n  1: [3, 1, 2, 0]\n  2: [0, 1, 2, 3]\n"
                     "num_slots: 4\nlayer_updates_per_iter: 0\n")
    problem.write_text('{"loads": [[4, 3, 2, 1], [1, 1, 1, 1]], "gpus": 2, "gpus_per_node": 1, '
                       '"expert_bytes": "10 MB"}')
    result = json.loads(run(moesim, "place", "diff", before, after, problem, "--first-layer", 1,
                            "--inter-bandwidth", "1 GB/s", "--json"))
    assert (result["loaded"], result["dropped"], result["kept"]) == (2, 2, 6)
    assert result["across_nodes"] == 2 and result["inter_node_bytes"] == 20e6
    assert abs(result["move_s"] - 0.01) < 1e-12  # 10 MB each way
    assert result["before"]["format"] == "sglang" and result["after"]["format"] == "trtllm"
    # Layer 1: 7 and 3 become 4 and 6 (2 + 4); layer 2 stays at 2.
    assert result["before"]["score"]["objective"] == 9
    assert result["after"]["score"]["objective"] == 8
    table = run(moesim, "place", "diff", before, after, problem, "--first-layer", 1)
    assert "-11.1 %" in table, table
    assert "--devices" in refused(moesim, "place", "diff", before, after)
    words = refused(moesim, "place", "diff", before, after, "--devices", 3)
    assert "a.json#/physical_to_logical_map" in words, words
    assert "--expert-bytes 7" in refused(moesim, "place", "diff", before, after, "--devices", 2,
                                         "--expert-bytes", "7")


def check_result_as_input(moesim, folder):
    """What place prints can be compared with itself."""
    problem, result = folder / "q.json", folder / "r.json"
    problem.write_text('{"loads": [[4, 3, 2, 1]], "gpus": 2}')
    result.write_text(run(moesim, "place", problem, "--json"))
    same = json.loads(run(moesim, "place", "diff", result, result, problem, "--json"))
    assert same["loaded"] == 0 and same["kept"] == 4
    assert same["before"]["score"]["objective"] == json.loads(result.read_text())["objective"]


def check_rebalance(moesim, folder, scenarios):
    traces = []
    for seed in (1, 2):
        traces.append(folder / f"t{seed}.moetrace")
        run(moesim, "trace", "generate", "--profile", "deepseek-v2-lite", "--tokens", 3000, "--seed",
            seed, "--out", traces[-1])
    machine = ["--gpus", 8, "--slots", 9, "--gpus-per-node", 4, "--time-per-token", "1 us",
               "--expert-bytes", "17 MB", "--intra-bandwidth", "200 GB/s", "--inter-bandwidth",
               "50 GB/s", "--steps-per-window", 1000, "--windows", 3]
    text = run(moesim, "place", "rebalance", *traces, *machine, "--json")
    result = json.loads(text)
    assert result["windows"] == 6 and result["window_steps"] == [1000] * 6
    totals = {policy["policy"]: policy["total_s"] for policy in result["policies"]}
    assert list(totals) == ["never", "every_n", "threshold", "few_moves", "eplb_periodic",
                            "oracle"]
    assert totals["oracle"] <= min(totals.values()) and totals["oracle"] < totals["never"]
    for policy in result["policies"]:
        assert policy["bytes"] == sum(window["bytes"] for window in policy["windows"])
        assert policy["bytes"] % 17e6 == 0
    assert text == run(moesim, "place", "rebalance", *traces, *machine, "--json", "--threads", 1)
    one = run(moesim, "place", "rebalance", *traces, *machine, "--policy", "never")
    assert "never" in one and "threshold" not in one
    scenario = scenarios / "deepseek_v2_lite_decode_ep8_h100.json"
    assert "oracle" in run(moesim, "place", "rebalance", scenario, *traces, "--windows", 2,
                           "--method", "lpt")
    assert "does not drift" in refused(moesim, "place", "rebalance", scenario)
    assert "--gpus: missing" in refused(moesim, "place", "rebalance", traces[0])
    assert "never, every_n" in refused(moesim, "place", "rebalance", *traces, *machine, "--policy",
                                       "often")


def main():
    moesim, scenarios = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_diff(moesim, folder)
        check_result_as_input(moesim, folder)
        check_rebalance(moesim, folder, scenarios)


if __name__ == "__main__":
    main()
