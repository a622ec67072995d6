"""Exit codes, help, and that the table for people says what the JSON document says.

usage: usage_test.py MOESIM SCENARIO_DIR
"""

import json
import pathlib
import subprocess
import sys

COMMANDS = ["simulate", "trace", "validate", "calibrate", "place", "report", "reproduce", "catalog"]


def run(moesim, *arguments):
    return subprocess.run([moesim, *arguments], capture_output=True, text=True, timeout=120,
                          check=False)


def check_bad_usage(moesim, scenario):
    """Exit code 2, nothing on stdout, the culprit named on stderr."""
    cases = [
        ([], "subcommand is required"),
        (["simulat"], "subcommand is required"),
        (["simulate"], "scenario is required"),
        (["simulate", "none.json"], "none.json"),
        (["simulate", scenario, "more"], "more"),
        (["simulate", scenario, "--bogus"], "--bogus"),
        (["simulate", scenario, "--threads", "0"], "--threads: Value 0 not in range 1 to 1024"),
        (["simulate", scenario, "--threads", "1025"], "--threads: Value 1025"),
        (["simulate", scenario, "--threads", "two"], "--threads: Value two"),
        (["simulate", scenario, "--seed", "-1"], "--seed: Value -1"),
        (["simulate", scenario, "--seed"], "--seed"),
        (["simulate", scenario, "--backend", "other"], "other not in {fast,simgrid}"),
        (["simulate", scenario, "--set", "/run"], "/json/pointer=value"),
        (["simulate", scenario, "--set", "run/steps=2"], "/json/pointer=value"),
        (["simulate", scenario, "--timeline", "/no/such/folder/t.json"], "/no/such/folder"),
        (["simulate", scenario, "--catalog", "/no/such/folder"], "--catalog /no/such/folder"),
    ]
    for arguments, words in cases:
        done = run(moesim, *arguments)
        assert done.returncode == 2, (arguments, done.returncode, done.stderr)
        assert done.stdout == "", (arguments, done.stdout)
        assert words in done.stderr, (arguments, done.stderr)


def check_help(moesim):
    for arguments in [[], *([command] for command in COMMANDS)]:
        done = run(moesim, *arguments, "--help")
        assert done.returncode == 0 and done.stderr == "", (arguments, done.stderr)
        assert "Usage: moesim" in done.stdout, done.stdout
    for command in COMMANDS:
        assert f"\n  {command} " in run(moesim, "--help").stdout, command
    options = run(moesim, "simulate", "--help").stdout
    for option in ("--set", "--backend", "--crosscheck", "--timeline", "--seed", "--threads", "--json",
                   "--catalog"):
        assert option in options, option
    assert run(moesim, "--version").stdout.startswith("moesim ")


def check_table(moesim, scenario):
    """The same figures, rounded; nothing but diagnostics on stderr, and no bar without a terminal."""
    done = run(moesim, "simulate", scenario, "--set", "/run/steps=2")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    report = json.loads(run(moesim, "simulate", scenario, "--set", "/run/steps=2", "--json").stdout)
    rows = {}
    for line in done.stdout.splitlines():
        name, _, value = line.strip().partition("  ")
        rows.setdefault(name, value.split())
    metrics = report["metrics"]

    def close(words, expected):
        assert abs(float(words[0]) / expected - 1) < 0.01, (words, expected)

    assert rows["step time"][1] == "ms"
    close(rows["step time"], metrics["step_s"] * 1e3)
    close(rows["output tokens/s"], metrics["output_tokens_per_s"])
    close(rows["MBU"], metrics["mbu"] * 100)
    for name, seconds in report["breakdown"].items():
        if name != "hidden" and seconds > 0:
            scale = {"s": 1, "ms": 1e3, "us": 1e6}[rows[name[:-2]][1]]
            close(rows[name[:-2]], seconds * scale)


def main():
    moesim, scenarios = sys.argv[1:3]
    scenario = str(pathlib.Path(scenarios) / "qwen3_30b_a3b_single_a6000.json")
    check_bad_usage(moesim, scenario)
    check_help(moesim)
    check_table(moesim, scenario)
    print("3 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
