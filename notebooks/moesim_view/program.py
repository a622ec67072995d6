"""Running moesim from a notebook."""

import json
import os
import pathlib
import subprocess

from moesim_view.reports import Report, ReportError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def simulate(label, scenario, settings=None):
    """The report of a shipped scenario (its name) with some fields set: {"/json/pointer": value}.

    Runs the program that the environment variable MOESIM names, or else this tree's own build. Throws
    ReportError with the program's words if it refuses."""
    program = os.environ.get("MOESIM", str(ROOT / "build" / "release" / "moesim"))
    path = ROOT / "sim" / "scenarios" / f"{scenario}.json"
    command = [program, "simulate", str(path), "--json"]
    for pointer, value in (settings or {}).items():
        command += ["--set", f"{pointer}={json.dumps(value)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReportError(done.stderr.strip())
    report = Report(path, json.loads(done.stdout))
    report.label = label
    return report
