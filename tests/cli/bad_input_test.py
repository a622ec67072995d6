"""Bad scenarios end with exit code 2 and one message that names file, pointer and remedy.

usage: bad_input_test.py MOESIM SCENARIO_DIR

Every case edits a good scenario (a list of (pointer, value); a value of DROP removes the field) or
gives raw text, and lists what the message must contain.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

DROP = object()
BASE = "deepseek_v2_lite_decode_ep8_h100"

CASES = [
    # name, edits or text, words that the message must contain
    ("no json", "{\"hardware\": ", ["s.json:1:", "not JSON"]),
    ("empty file", "", ["s.json:1:1", "not JSON"]),
    ("an array", "[1, 2]", ["s.json#", "an object {...} is needed"]),
    ("key twice", '{"seed": 1, "seed": 2}', ["stands twice", "seed"]),
    ("typo at the top", [("/sed", 3)], ["s.json#/sed", "unknown key", "seed"]),
    ("typo in a section", [("/workload/contex", 3)], ["/workload/contex", "unknown key", "context"]),
    ("typo in a policy", [("/placement/policy", "contigous")],
     ["/placement/policy", "contigous", "contiguous, round_robin"]),
    ("unknown all-to-all", [("/policy/all_to_all", "deepep")],
     ["/policy/all_to_all", "deepep_low_latency"]),
    ("unknown framework", [("/policy/kernels", "tensorrt")], ["/policy/kernels", "trtllm"]),
    ("unknown precision", [("/policy/precision", "fp7")], ["/policy/precision", "fp8_block"]),
    ("unknown format", [("/policy/dispatch", "fp9")], ["/policy/dispatch", "fp8"]),
    ("unknown overlap", [("/policy/overlap", "some")], ["/policy/overlap", "none"]),
    ("no hardware", [("/hardware", DROP)], ["/hardware", "is missing"]),
    ("no model", [("/model", DROP)], ["/model", "is missing"]),
    ("no workload", [("/workload", DROP)], ["/workload", "is missing"]),
    ("unknown cluster", [("/hardware", "h900-8x")], ["/hardware", "h900-8x", "h100-8x-ib400"]),
    ("unknown model", [("/model", "deepseek-v9")], ["/model", "deepseek-v9", "deepseek-v3"]),
    ("missing model file", [("/model", "no/such/model.json")], ["/model", "no/such/model.json"]),
    ("missing hardware file", [("/hardware", "no.json")], ["/hardware", "no.json"]),
    ("missing trace", [("/workload/routing", "no_such.moetrace")],
     ["/workload/routing", "no_such.moetrace"]),
    ("unknown routing profile", [("/workload/routing", "profile:nobody")],
     ["/workload/routing", "nobody", "deepseek-v2-lite"]),
    ("profile of another model", [("/workload/routing", "profile:mixtral-8x7b")],
     ["/workload/routing", "64"]),
    ("negative requests", [("/workload/requests_per_rank", -1)],
     ["/workload/requests_per_rank", "-1", "1 to"]),
    ("fractional requests", [("/workload/requests_per_rank", 1.5)],
     ["/workload/requests_per_rank", "whole number"]),
    ("text for a number", [("/workload/context", "2048")], ["/workload/context", "whole number"]),
    ("NaN", '{"seed": NaN}', ["s.json:1:", "not JSON"]),
    ("number too large", '{"seed": 1e999}', ["s.json", "out of range"]),
    ("negative seed", [("/seed", -4)], ["/seed", "-4"]),
    ("zero steps", [("/run/steps", 0)], ["/run/steps", "1 to"]),
    ("bad step kind", [("/workload/kind", "training")], ["/workload/kind", "decode, prefill, mixed"]),
    ("prompt that does not divide",
     [("/workload", {"kind": "prefill", "tokens_per_rank": 1000, "prompt_tokens": 300})],
     ["/workload/prompt_tokens", "1000"]),
    ("sample that does not divide",
     [("/workload", {"kind": "prefill", "tokens_per_rank": 1024, "prompt_tokens": 512,
                     "routing_sample": 1000})],
     ["/workload/routing_sample", "1024"]),
    ("rank products differ", [("/parallelism/experts/ep", 4)],
     ["/parallelism/experts", "4 ranks", "8"]),
    ("context parallelism", [("/parallelism/attention/cp", 2)],
     ["/parallelism/attention/cp", "is 1", "sequence"]),
    ("pipeline parallelism", [("/parallelism/attention/pp", 2)],
     ["/parallelism/attention/pp", "is 1", "stages"]),
    ("virtual stages", [("/parallelism/attention/vpp", 2)],
     ["/parallelism/attention/vpp", "is 1", "parts"]),
    ("more ranks than devices",
     [("/parallelism/attention/dp", 16), ("/parallelism/experts/ep", 16)],
     ["/parallelism", "16 ranks on 8 devices", "hardware/nodes"]),
    ("experts cut finer than attention",
     [("/parallelism/experts", {"etp": 2, "ep": 4})], ["/parallelism/experts/etp", "tp"]),
    ("heads that do not divide",
     [("/parallelism", {"attention": {"tp": 3, "dp": 1}, "experts": {"ep": 3}}),
      ("/hardware", {"cluster": "h100-8x-ib400", "devices": 3})],
     ["/parallelism", "heads"]),
    ("expert that nobody hosts",
     [("/parallelism", {"attention": {"tp": 1, "dp": 128}, "experts": {"ep": 128}}),
      ("/hardware/nodes", 16)],
     ["/parallelism/experts/ep", "128 expert ranks", "64 expert slots"]),
    ("more replicas than ranks", [("/placement/redundant_experts", 4096)],
     ["/placement/redundant_experts", "448"]),
    ("bare bandwidth",
     [("/hardware", {"cluster": "h100-8x-ib400", "node": {"nic_link": {"bandwidth": 50e9}}})],
     ["/hardware", "bandwidth", "quantity"]),
    ("wrong unit",
     [("/hardware", {"cluster": "h100-8x-ib400",
                     "node": {"nic_link": {"bandwidth": "400 Gbit"}}})],
     ["/hardware", "bandwidth", "Gbit/s"]),
    ("negative bandwidth",
     [("/hardware", {"cluster": "h100-8x-ib400",
                     "node": {"nic_link": {"bandwidth": "-4 GB/s"}}})],
     ["/hardware", "more than zero"]),
    ("no fp8 on this device", [("/hardware", {"cluster": "a100-8x-ib200"}),
                               ("/policy/precision", "fp8")],
     ["/policy/precision", "a100_sxm does not compute in fp8", "bf16"]),
    ("groups across nodes",
     [("/hardware/nodes", 3), ("/parallelism", {"attention": {"dp": 24},
                                                "experts": {"ep": 12, "edp": 2}})],
     ["/parallelism/experts/ep", "12 ranks", "nodes of 8"]),
    ("more pairs than can be counted", [("/workload/requests_per_rank", 16000000),
                                        ("/policy/precision", "bf16"),
                                        ("/hardware/nodes", 8),
                                        ("/parallelism/attention/dp", 64),
                                        ("/parallelism/experts/ep", 64)],
     ["/workload", "2^31"]),
    ("more routed tokens than memory", [("/workload/requests_per_rank", 8000000)],
     ["/workload", "GB", "routing_sample"]),
    ("model with an encoder", [("/model", "switch-base-128"), ("/workload/routing", "balanced")],
     ["/model", "encoder"]),
]


def at(document, pointer):
    *path, last = pointer.strip("/").split("/")
    for name in path:
        document = document[name]
    return document, last


def text_of(case, scenario):
    if isinstance(case, str):
        return case
    for pointer, value in case:
        parent, last = at(scenario, pointer)
        if value is DROP:
            del parent[last]
        else:
            parent[last] = value
    return json.dumps(scenario)


def main():
    moesim, scenarios = sys.argv[1:3]
    good = (pathlib.Path(scenarios) / f"{BASE}.json").read_text()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "s.json"
        for name, case, words in CASES:
            path.write_text(text_of(case, json.loads(good)))
            run = subprocess.run([moesim, "simulate", str(path)], capture_output=True, text=True,
                                 timeout=60, check=False)
            problems = [f"the message lacks {word!r}" for word in words if word not in run.stderr]
            if run.returncode != 2:
                problems.append(f"exit code {run.returncode}, not 2")
            if run.stdout:
                problems.append("something was printed on stdout")
            if len(run.stderr.strip().splitlines()) != 1:
                problems.append("not exactly one line on stderr")
            if problems:
                failures += 1
                print(f"{name}: {'; '.join(problems)}\n    {run.stderr.strip()}")
    print(f"{len(CASES) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
