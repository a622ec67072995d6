"""What the command line promises about reports, timelines and determinism.

usage: contract_test.py MOESIM SCENARIO_DIR
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

SCENARIO = "deepseek_v2_lite_decode_ep8_h100.json"
REPORT_KEYS = "schema scenario metrics breakdown uncertainty provenance warnings host".split()
METRIC_KEYS = ("step_s step_p10_s step_p90_s fits tpot_s output_tokens_per_s output_tokens_per_s_per_device mfu mbu "
               "exposed_communication_s bubble_fraction balancedness imbalance_ratio "
               "cross_node_ratio peak_memory_bytes energy_j cost_usd").split()


def run(moesim, *arguments):
    result = subprocess.run([moesim, *arguments], capture_output=True, text=True, timeout=120,
                            check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def without_host(text):
    report = json.loads(text)
    assert set(report.pop("host")) >= {"wall_s", "engine_s", "tasks"}
    return json.dumps(report, sort_keys=True)


def check_report(moesim, scenario):
    report = json.loads(run(moesim, "simulate", scenario, "--json"))
    for key in REPORT_KEYS:
        assert key in report, key
    for key in METRIC_KEYS:
        assert key in report["metrics"], key
    step = report["metrics"]["step_s"]
    parts = sum(v for k, v in report["breakdown"].items() if k != "hidden")
    assert abs(parts / step - 1) < 1e-9, (parts, step)
    mean = sum(report["mean_device"].values())
    assert abs(mean / step - 1) < 1e-9, (mean, step)
    for layer in report["layers"]:
        assert layer["start_s"] < layer["end_s"] <= step * (1 + 1e-12), layer
    check_uncertainty(report, step)
    for row in report["provenance"]["kernels"] + report["provenance"]["communication"]:
        assert row["basis"] in ("calibrated", "transferred", "uncalibrated"), row
        assert row["basis"] == "uncalibrated" or row["source"], row


def check_uncertainty(report, step):
    metrics, bars = report["metrics"], report["uncertainty"]
    assert metrics["step_p10_s"] < step < metrics["step_p90_s"], metrics
    assert abs(metrics["step_p10_s"] * metrics["step_p90_s"] / step**2 - 1) < 1e-9
    assert abs(metrics["step_p90_s"] / step - math.exp(1.2816 * bars["sigma"])) < 1e-9
    shares = [family["variance_share"] for family in bars["families"]]
    assert shares == sorted(shares, reverse=True) and bars["deployment_share"] > 0, bars
    assert abs(sum(shares) + bars["deployment_share"] - 1) < 1e-9, bars
    assert abs(sum(family["share"] for family in bars["families"]) - 1) < 1e-9
    known = report["provenance"]["kernels"] + report["provenance"]["communication"]
    basis = {row["family"]: row["basis"] for row in known}
    for family in bars["families"]:
        assert family["basis"] == basis[family["family"]], family
    outside = {row["family"] for row in known if row["extrapolated_calls"] > 0}
    assert {op["family"] for op in bars["extrapolated"]} == outside
    for op in bars["extrapolated"]:
        assert op["label"] and op["layers"] >= 1 and 0 <= op["share"] <= 1, op


def check_determinism(moesim, scenario):
    one = without_host(run(moesim, "simulate", scenario, "--json", "--threads", "1"))
    two = without_host(run(moesim, "simulate", scenario, "--json", "--threads", "2"))
    assert one == two, "1 and 2 threads differ"
    other = without_host(run(moesim, "simulate", scenario, "--json", "--seed", "2"))
    assert one != other, "the seed changes nothing"


def check_repeatable(moesim, scenario, folder):
    """The effective scenario in a report is a scenario: it gives the same result again."""
    first = json.loads(run(moesim, "simulate", scenario, "--json"))
    again = folder / "again.json"
    again.write_text(json.dumps(first["scenario"]))
    second = json.loads(run(moesim, "simulate", str(again), "--json"))
    assert first["metrics"] == second["metrics"]
    assert first["scenario"] == second["scenario"]


def check_timeline(moesim, scenario, folder):
    path = folder / "timeline.json"
    report = json.loads(run(moesim, "simulate", scenario, "--json", "--timeline", str(path)))
    events = json.loads(path.read_text())["traceEvents"]
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    spans = [e for e in events if e["ph"] == "X"]
    assert len(spans) > 100
    last = {}
    for event in spans:
        for key in ("name", "cat", "pid", "tid", "ts", "dur", "args"):
            assert key in event, key
        assert event["ts"] >= 0 and event["dur"] >= 0
        lane = (event["pid"], event["tid"])
        assert lane in named, lane
        # Kernels of one device follow each other: Perfetto nests only what does not overlap.
        assert event["ts"] >= last.get(lane, 0.0) - 1e-6, event
        last[lane] = event["ts"] + event["dur"]
    end = max(last.values()) / 1e6
    assert abs(end / report["metrics"]["step_s"] - 1) < 1e-9


def check_explain(moesim, scenario):
    """Which law answered, the runners-up, and why: in the table and in --json."""
    report = json.loads(run(moesim, "simulate", scenario, "--json", "--explain"))
    used = {row["family"]: row for row in report["provenance"]["kernels"]}
    assert [row["family"] for row in report["explain"]] == sorted(used), report["explain"]
    for row in report["explain"]:
        answer = row["answers"]
        assert answer["profile"] == used[row["family"]]["profile"], row
        assert answer["seconds"] > 0 and answer["reason"] and row["shape"], row
        assert len(row["runners_up"]) >= 1, row
        for other in row["runners_up"]:
            assert other["seconds"] > 0 and other["reason"], other
    plain = json.loads(run(moesim, "simulate", scenario, "--json"))
    assert "explain" not in plain and plain["metrics"] == report["metrics"]
    table = run(moesim, "simulate", scenario, "--explain")
    assert "answers: " in table and "then: " in table and "the framework that is named" in table, table
    by_operation = json.loads(run(
        moesim, "simulate", scenario, "--json", "--set",
        '/policy/kernels={"default": "trtllm", "gemm": "vllm", "moe": "sglang-0.5.14"}'))
    profiles = {row["family"]: row["profile"] for row in by_operation["provenance"]["kernels"]}
    assert profiles["gemm/bf16"] == "h100_sxm/vllm-0.24.0", profiles
    assert profiles["moe/bf16/masked"] == "h100_sxm/sglang-0.5.14", profiles


def check_overrides(moesim, scenario):
    short = json.loads(run(moesim, "simulate", scenario, "--json", "--set",
                           "/workload/requests_per_rank=64"))
    full = json.loads(run(moesim, "simulate", scenario, "--json"))
    assert short["scenario"]["workload"]["requests_per_rank"] == 64
    assert short["metrics"]["step_s"] < full["metrics"]["step_s"]
    huge = json.loads(run(moesim, "simulate", scenario, "--json", "--set",
                          "/workload/context=1000000"))
    assert huge["metrics"]["fits"] is False
    assert huge["metrics"]["memory_shortfall_bytes"] > 0


def main():
    moesim, scenarios = sys.argv[1:3]
    scenario = str(pathlib.Path(scenarios) / SCENARIO)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_report(moesim, scenario)
        check_determinism(moesim, scenario)
        check_repeatable(moesim, scenario, folder)
        check_timeline(moesim, scenario, folder)
        check_overrides(moesim, scenario)
        check_explain(moesim, scenario)
    print("6 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
