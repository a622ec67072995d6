"""Overlap schedules: SimGrid agrees on each, reports account for what is hidden, time lines name
streams.

usage: overlap_test.py MOESIM SCENARIO_DIR
"""

import json
import pathlib
import subprocess
import sys
import tempfile

MOESIM, SCENARIOS = sys.argv[1], pathlib.Path(sys.argv[2])
SMALL = ["/hardware/nodes=2", "/parallelism/attention/dp=16", "/parallelism/experts/ep=16",
         "/workload/requests_per_rank=8"]
SLICED = ["/hardware/nodes=2", "/parallelism/attention/dp=8", "/parallelism/experts/ep=8",
          "/workload/requests_per_rank=8"]
CASES = [
    ("deepseek_v2_lite_decode_ep8_h100", SMALL, ["two_batch", "five_stage", "single_batch",
                                                 "shared_expert", "by_arrival", "chunked"]),
    ("mixtral_8x7b_decode_tp2ep4_h100", SLICED, ["three_stream"]),
    ("deepseek_v2_lite_decode_ep8_h100",
     SMALL + ["/model=longcat-flash", "/workload/routing=profile:longcat-flash"], ["shortcut"]),
    # Kernels that communication slows.
    ("deepseek_v2_lite_prefill_ep8_h100",
     SMALL[:3] + ["/workload/tokens_per_rank=512", "/workload/prompt_tokens=512",
                  "/policy/all_to_all=deepep_normal"], ["two_batch", "shared_expert"]),
]


def simulate(scenario, settings, *arguments):
    command = [MOESIM, "simulate", str(SCENARIOS / f"{scenario}.json"), "--threads", "1", *arguments]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done


def check_case(scenario, settings, schedule):
    with tempfile.TemporaryDirectory() as folder:
        timeline = pathlib.Path(folder) / "timeline.json"
        done = simulate(scenario, [*settings, f"/policy/overlap={schedule}"], "--json",
                        "--crosscheck", "--timeline", str(timeline))
        events = json.loads(timeline.read_text(encoding="utf-8"))["traceEvents"]
    assert "fast and simgrid differ by at most" in done.stderr, done.stderr
    report = json.loads(done.stdout)
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    chunks = report["provenance"].get("overlap", {}).get("degree")
    if chunks == 1:
        return
    assert "device 0, kernels" in names, names
    hidden = report["breakdown"]["hidden"]
    assert hidden, schedule
    for name, row in hidden.items():
        assert abs(sum(row["under"].values()) - row["hidden_s"]) <= 1e-9 * report["metrics"]["step_s"]
        assert row["exposed_s"] == report["mean_device"][name + "_s"]
    total = sum(row["hidden_s"] for row in hidden.values())
    assert abs(total / report["metrics"]["hidden_communication_s"] - 1) < 1e-9
    assert all(row["source"] for row in report["provenance"]["interference"])


def main():
    count = 0
    for scenario, settings, schedules in CASES:
        for schedule in schedules:
            check_case(scenario, settings, schedule)
            count += 1
    scenario, settings, _ = CASES[-1]
    table = simulate(scenario, [*settings, "/policy/overlap=two_batch"]).stdout
    assert "communication of a mean device" in table, table
    assert "without 18.2 % of the multiprocessors" in table, table
    print(f"{count + 1} passed, 0 failed")


if __name__ == "__main__":
    main()
