"""Outputs are complete or not there, nothing that is read is written over, and own catalogs win.

usage: output_test.py MOESIM SCENARIO_DIR
"""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SCENARIO = "deepseek_v2_lite_decode_ep8_h100.json"
GENERATE = ["trace", "generate", "--profile", "deepseek-v2-lite", "--seed", "1", "--threads", "1"]


class Cli:
    def __init__(self, moesim, scenarios, folder):
        self.moesim = moesim
        self.folder = folder
        self.scenario = str(folder / "s.json")
        shutil.copy(pathlib.Path(scenarios) / SCENARIO, self.scenario)

    def run(self, *arguments, stdout=subprocess.PIPE, **options):
        return subprocess.run([self.moesim, *map(str, arguments)], stdout=stdout,
                              stderr=subprocess.PIPE, timeout=120, check=False, **options)

    def refused(self, status, words, *arguments, **options):
        done = self.run(*arguments, **options)
        text = done.stderr.decode()
        assert done.returncode == status, (arguments, done.returncode, text)
        for word in words:
            assert word in text, (word, text)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())


def check_stdout(cli):
    """A full disk, a reader that has gone and a closed stdout are errors, for every command."""
    commands = [["simulate", cli.scenario, "--json"], ["catalog", "list"], ["--help"],
                ["trace", "info", "--help"]]
    for command in commands:
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                cli.refused(1, ["stdout"], *command, stdout=full)
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as gone:
            cli.refused(1, ["stdout"], *command, stdout=gone)
    # The first file that is opened must not become stdout.
    timeline = cli.folder / "closed.json"
    closed = subprocess.run(["/bin/sh", "-c", 'exec "$0" "$@" >&-', cli.moesim, "simulate",
                             cli.scenario, "--json", "--timeline", str(timeline)],
                            capture_output=True, timeout=120, check=False)
    assert closed.returncode == 1 and b"stdout" in closed.stderr, closed
    json.loads(timeline.read_text())
    timeline.unlink()


def check_special_files(cli):
    timeline = cli.folder / "t.json"
    assert cli.run("simulate", cli.scenario, "--timeline", timeline).returncode == 0
    expected = timeline.read_text()
    table = len(cli.run("simulate", cli.scenario).stdout.splitlines())
    through = cli.run("simulate", cli.scenario, "--timeline", "/dev/stdout").stdout.decode()
    assert through.endswith(expected), through[:200]
    with open(cli.folder / "both.txt", "wb") as both:
        assert cli.run("simulate", cli.scenario, "--timeline", "/dev/stdout",
                       stdout=both).returncode == 0
    both = (cli.folder / "both.txt").read_text()
    assert both.endswith(expected), both[:200]
    assert len(both[:-len(expected)].splitlines()) == table
    assert cli.run("simulate", cli.scenario, "--timeline", "/dev/null").returncode == 0
    if os.path.exists("/dev/full"):
        report = cli.folder / "report.json"
        with open(report, "wb") as stdout:  # the report is not lost with the timeline
            cli.refused(1, ["cannot write /dev/full", "No space"], "simulate", cli.scenario,
                        "--json", "--timeline", "/dev/full", stdout=stdout)
        json.loads(report.read_text())
        cli.refused(1, ["cannot write /dev/full", "No space"], *GENERATE, "--tokens", 100, "--out",
                    "/dev/full")
    # A trace is written back to front, which a pipe cannot do.
    trace = cli.folder / "a.moetrace"
    assert cli.run(*GENERATE, "--tokens", 5000, "--out", trace).returncode == 0
    assert cli.run(*GENERATE, "--tokens", 5000, "--out", "/dev/stdout").stdout == trace.read_bytes()


def check_links(cli):
    (cli.folder / "far").mkdir()
    link = cli.folder / "link.json"
    link.symlink_to("far/t.json")
    assert cli.run("simulate", cli.scenario, "--timeline", link).returncode == 0
    assert link.is_symlink() and (cli.folder / "far/t.json").is_file()


def check_inputs(cli):
    """Neither the scenario, under any name, nor a file that it names is written over."""
    before = pathlib.Path(cli.scenario).read_text()
    link, hard = cli.folder / "to_scenario.json", cli.folder / "hard.json"
    link.symlink_to(cli.scenario)
    os.link(cli.scenario, hard)
    for out in (cli.scenario, link, hard):
        cli.refused(2, [str(out), cli.scenario, "would replace what is read"], "simulate",
                    cli.scenario, "--timeline", out)
        cli.refused(2, [str(out), cli.scenario], "place", cli.scenario, "--export", f"moesim:{out}")
    trace = cli.folder / "a.moetrace"
    cli.refused(2, [str(trace)], "simulate", cli.scenario, "--set",
                f"/workload/routing={trace}[0:0.5]", "--timeline", trace)
    cli.refused(2, [str(trace)], "trace", "import", "step_batches", trace, "--out", trace)
    cli.refused(2, ["--out", "does not exist"], *GENERATE, "--tokens", 10, "--out",
                cli.folder / "absent/a.moetrace")
    cli.refused(2, ["is a folder"], *GENERATE, "--tokens", 10, "--out", cli.folder)
    cli.refused(1, ["cannot write /proc/a.moetrace"], *GENERATE, "--tokens", 10, "--out",
                "/proc/a.moetrace")
    assert pathlib.Path(cli.scenario).read_text() == before


def check_interruption(cli):
    """Ctrl-C and a disk that fills up leave what was there."""
    trace = cli.folder / "a.moetrace"
    before, files = trace.read_bytes(), cli.files()
    command = [cli.moesim, *GENERATE, "--tokens", "50000000", "--out", str(trace)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    assert trace.read_bytes() == before and cli.files() == files

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    cli.refused(1, ["cannot write", str(trace)], *GENERATE, "--tokens", 5000, "--out", trace,
                preexec_fn=no_room)
    assert trace.read_bytes() == before and cli.files() == files


def check_catalogs(cli, scenarios):
    """A file of a shipped name in --catalog is used, and the report and stderr name it."""
    root = pathlib.Path(scenarios).resolve().parents[1]
    models = cli.folder / "mine" / "models" / "catalog"
    models.mkdir(parents=True)
    model = json.loads((root / "models/catalog/deepseek-v2-lite.json").read_text())
    model["vocabulary"] = model["vocabulary"] // 2
    (models / "deepseek-v2-lite.json").write_text(json.dumps(model))
    shipped = cli.run("simulate", cli.scenario, "--json")
    assert shipped.stderr == b"" and b"preferred_files" not in shipped.stdout
    own = cli.run("simulate", cli.scenario, "--json", "--catalog", cli.folder / "mine")
    assert own.returncode == 0, own.stderr
    lines = own.stderr.decode().splitlines()
    assert len(lines) == 1 and str(models / "deepseek-v2-lite.json") in lines[0], lines
    report = json.loads(own.stdout)
    assert report["scenario"]["model"]["vocabulary"] == model["vocabulary"]
    assert report["provenance"]["preferred_files"] == [str(models / "deepseek-v2-lite.json")]
    assert report["metrics"]["step_s"] != json.loads(shipped.stdout)["metrics"]["step_s"]
    # The first of two own catalogs wins.
    second = cli.folder / "second"
    shutil.copytree(cli.folder / "mine", second)
    both = cli.run("simulate", cli.scenario, "--json", "--catalog", second, "--catalog",
                   cli.folder / "mine")
    assert json.loads(both.stdout)["provenance"]["preferred_files"] == [
        str(second / "models/catalog/deepseek-v2-lite.json")]


def main():
    moesim, scenarios = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        cli = Cli(moesim, scenarios, pathlib.Path(folder))
        check_stdout(cli)
        check_special_files(cli)
        check_links(cli)
        check_inputs(cli)
        check_interruption(cli)
        check_catalogs(cli, scenarios)


if __name__ == "__main__":
    main()
