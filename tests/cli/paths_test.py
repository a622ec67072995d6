"""Paths in a file are relative to that file, paths given by --set to the working directory.

usage: paths_test.py MOESIM SCENARIO_DIR
"""

import json
import pathlib
import subprocess
import sys
import tempfile

SCENARIO = "deepseek_v2_lite_decode_ep8_h100.json"
BATCHES = {"kind": "batches", "file": "parts/batches.json", "routing": "parts/t.moetrace[0:0.5]"}


class Cli:
    def __init__(self, moesim, folder):
        self.moesim, self.folder = str(pathlib.Path(moesim).resolve()), folder

    def run(self, cwd, *arguments, status=0):
        result = subprocess.run([self.moesim, *map(str, arguments)], cwd=self.folder / cwd,
                                capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == status, (arguments, result.returncode, result.stderr)
        return result

    def report(self, cwd, *arguments):
        return json.loads(self.run(cwd, "simulate", *arguments, "--json").stdout)

    def show(self, name, *options):
        return json.loads(self.run(".", "catalog", "show", name, *options).stdout)


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_inputs(cli, good):
    """case/s.json and, in case/parts, all that it names."""
    folder = cli.folder / "case"
    (folder / "parts").mkdir(parents=True)
    (cli.folder / "elsewhere").mkdir()
    cli.run("case/parts", "trace", "generate", "--profile", "deepseek-v2-lite", "--tokens", 2000,
            "--out", "t.moetrace")
    write(folder / "parts/batches.json", [[{"phase": "decode", "count": 4, "context": 100}]] * 8)
    model = cli.show("deepseek-v2-lite", "--json")["model"]
    write(folder / "parts/model.json", {**model, "name": "mine"})
    cluster = cli.show("h100-8x-ib400")
    cluster["node"]["device"] = "device/mine.json"  # beside the cluster's file
    write(folder / "parts/cluster.json", cluster)
    write(folder / "parts/device/mine.json", cli.show("h100_sxm"))
    write(folder / "s.json", {**good, "hardware": {"cluster": "parts/cluster.json", "nodes": 1},
                              "model": "parts/model.json", "workload": BATCHES})


def check_files(cli):
    metrics = None
    for cwd, scenario in (("case", "s.json"), (".", "case/s.json"), ("elsewhere", "../case/s.json"),
                          ("elsewhere", cli.folder / "case/s.json")):
        report = cli.report(cwd, scenario)
        metrics = metrics or report["metrics"]
        assert report["metrics"] == metrics, (cwd, scenario)
        assert not any("working directory" in w for w in report["warnings"]), report["warnings"]
        placed = cli.run(cwd, "place", scenario, "--json")
        assert placed.stderr == "", placed.stderr


def check_set(cli):
    """--set is of the working directory, even where the scenario's folder has such a file."""
    write(cli.folder / "elsewhere/parts/batches.json", [[{"phase": "decode", "context": 7}]] * 8)
    own = cli.report("elsewhere", "../case/s.json")
    other = cli.report("elsewhere", "../case/s.json", "--set",
                       "/workload/file=parts/batches.json")
    assert own["metrics"]["output_tokens_per_s"] > 2 * other["metrics"]["output_tokens_per_s"]
    error = cli.run("case", "simulate", "s.json", "--set", "/workload/file=batches.json",
                    status=2).stderr
    assert error.startswith("moesim: batches.json:"), error


def check_messages(cli, good):
    """The path that was tried is named."""
    for key, value in (("model", "no.json"), ("hardware", "no.json"),
                       ("hardware", {"cluster": "h100-8x-ib400", "node": {"device": "no.json"}}),
                       ("workload", {**BATCHES, "file": "no.json"}),
                       ("workload", {**BATCHES, "file": "parts/batches.json",
                                     "routing": "no.moetrace"}),
                       ("workload", {**good["workload"], "routing": "profile:no.json"})):
        write(cli.folder / "case/bad.json", {**good, key: value})
        error = cli.run("elsewhere", "simulate", "../case/bad.json", status=2).stderr
        assert "../case/no." in error and len(error.splitlines()) == 1, error


def check_working_directory(cli):
    """What older scenarios found in the working directory they still find, and are told."""
    write(cli.folder / "case/old/s.json", json.loads((cli.folder / "case/s.json").read_text()))
    new, old = cli.report("case", "s.json"), cli.report("case", "old/s.json")
    assert old["metrics"] == new["metrics"]
    told = [w for w in old["warnings"] if "working directory" in w]
    assert [w.split(":")[0] for w in told] == [
        f"old/s.json#/{key}" for key in ("hardware/cluster", "model", "workload/file",
                                         "workload/routing")], told
    stderr = cli.run("case", "place", "old/s.json", "--json").stderr
    assert stderr.count("working directory") == 4, stderr
    # A cluster's document names its device; who says "place" is told of that, too.
    cluster = json.loads((cli.folder / "case/parts/cluster.json").read_text())
    cluster["node"]["device"] = "parts/device/mine.json"
    write(cli.folder / "case/parts/old.json", cluster)
    scenario = json.loads((cli.folder / "case/s.json").read_text())
    scenario["hardware"]["cluster"] = "parts/old.json"
    write(cli.folder / "case/late.json", scenario)
    cli.run("case", "place", "late.json", "--export", "moesim:p.json")
    for command in (["place", "late.json", "--json"],
                    ["place", "diff", "p.json", "p.json", "late.json"],
                    ["place", "rebalance", "late.json", "parts/t.moetrace"]):
        stderr = cli.run("case", *command).stderr
        assert stderr.count("parts/old.json#/node/device") == 1, (command, stderr)


def check_pipes(cli):
    """A scenario may come from a pipe, which is read once; its paths are the working directory's."""
    text = (cli.folder / "case/s.json").read_bytes()
    for command in (["simulate", "/dev/stdin"], ["place", "/dev/stdin"]):
        done = subprocess.run([cli.moesim, *command, "--json"], cwd=cli.folder / "case", input=text,
                              capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, (command, done.stderr)
        assert b"working directory" not in done.stderr, done.stderr


def main():
    moesim, scenarios = sys.argv[1:3]
    good = json.loads((pathlib.Path(scenarios) / SCENARIO).read_text())
    with tempfile.TemporaryDirectory() as name:
        cli = Cli(moesim, pathlib.Path(name))
        write_inputs(cli, good)
        check_files(cli)
        check_set(cli)
        check_messages(cli, good)
        check_working_directory(cli)
        check_pipes(cli)
    print("5 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
