"""One decode and one prefill step of every catalogued model, as a Markdown table.

usage: family_steps.py MOESIM [MODEL...]

8 H200 in fp8 and 8 B200 in fp4; attention data-parallel, experts spread (dense models: tensor-parallel
8); 32 requests of 8,192 tokens, or one prompt of 8,192, per rank; balanced expected routing. `fits`
is of that, not of the model alone; `extrapolated` are families of kernels asked for shapes that
nobody measured, `uncalibrated` those that nobody measured anywhere near. Models with an encoder are
left out. The exit code is 1 when a step fails for another reason.
"""

import json
import subprocess
import sys

MACHINES = [("8 H200, fp8", "h200-8x-ib400", "fp8"), ("8 B200, fp4", "b200-8x-ib400", "fp4")]
WORKLOADS = {
    "decode": {"kind": "decode", "requests_per_rank": 32, "context": 8192},
    "prefill": {"kind": "prefill", "tokens_per_rank": 8192, "prompt_tokens": 8192},
}
SPREAD = {"attention": {"dp": 8}, "experts": {"ep": 8}}
CUT = {"attention": {"tp": 8}}


def simulated(moesim, model, cluster, precision, workload, parallelism):
    """(report, "") or (None, complaint)"""
    scenario = {"hardware": {"cluster": cluster, "nodes": 1}, "model": model,
                "workload": workload | {"routing": "balanced"}, "parallelism": parallelism,
                "policy": {"precision": precision}, "run": {"routing": "expected"}}
    done = subprocess.run([moesim, "simulate", "/dev/stdin", "--json"], text=True,
                          input=json.dumps(scenario), capture_output=True, timeout=600, check=False)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout), ""


def families(report, chosen):
    names = [row["family"] for row in report["provenance"]["kernels"] if chosen(row)]
    return ", ".join(names) if names else ""


def main():
    moesim = sys.argv[1]
    listed = subprocess.run([moesim, "catalog", "list", "--json"], text=True, capture_output=True,
                            check=True)
    models = sys.argv[2:] or json.loads(listed.stdout)["models"]
    failed = False
    print("| model | machine | step | ms (p10-p90) | fits | extrapolated | uncalibrated |")
    print("|---|---|---|---:|---|---|---|")
    for model in models:
        for machine, cluster, precision in MACHINES:
            for step, workload in WORKLOADS.items():
                report, why = simulated(moesim, model, cluster, precision, workload, SPREAD)
                if "no routed experts" in why:
                    workload = {key: 8 * value if key in ("requests_per_rank", "tokens_per_rank")
                                else value for key, value in workload.items()}
                    report, why = simulated(moesim, model, cluster, precision, workload, CUT)
                if report is None:
                    if "encoder" in why:
                        continue
                    failed = True
                    print(f"| {model} | {machine} | {step} | {why} | | | |")
                    continue
                metrics = report["metrics"]
                times = [1e3 * metrics[key] for key in ("step_s", "step_p10_s", "step_p90_s")]
                print(f"| {model} | {machine} | {step} | {times[0]:.3g} ({times[1]:.3g}-"
                      f"{times[2]:.3g}) | {'yes' if metrics['fits'] else 'no'} | "
                      + families(report, lambda row: row["extrapolated_calls"] > 0
                                 and row["basis"] != "uncalibrated")
                      + " | " + families(report, lambda row: row["basis"] == "uncalibrated") + " |",
                      flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
