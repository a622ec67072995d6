"""validate_host_test.py MOESIM: `validate host` and `calibrate run` keep their contract.

Asserts structure. Times belong to the machine and to the hour: of them only that a prediction is not plainly wrong where the
run itself says that it can tell.
"""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unittest

MOESIM = sys.argv.pop(1)
PHASES = ("gate", "dispatch", "experts", "combine", "disk")


def run(*arguments):
    return subprocess.run([MOESIM, *arguments], capture_output=True, text=True, timeout=280)


class Host(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def check_document(self, document, configurations):
        counted = sum(row["n"] for row in document["skipped"])
        self.assertEqual(len(document["configurations"]) + counted, configurations)
        for row in document["configurations"]:
            self.assertGreater(row["measured"]["step_s"], 0)
            self.assertGreater(row["predicted"]["step_s"], 0)
            self.assertLess(row["deviation_from_reference"], 1e-4)
            for phase in PHASES:
                self.assertIn(phase + "_s", row["measured"]["phases"])
                self.assertIn(phase + "_s", row["predicted"]["phases"])
        for group in document["groups"]:
            self.assertTrue(group["name"].startswith("host/"), group)
            for key in ("n", "median_ape", "p90_ape", "worst_ape", "mean_signed_error"):
                self.assertIn(key, group)
        names = [group["name"] for group in document["groups"]]
        if document["configurations"]:
            self.assertIn("host/all/step", names)
            step = next(g for g in document["groups"] if g["name"] == "host/all/step")
            self.assertIn("naive_median_ape", step["baseline"])
            self.assertEqual(step["n"], len(document["configurations"]))
            self.assertLessEqual(step["interval"][0], step["median_ape"])
            self.assertGreaterEqual(step["interval"][1], step["median_ape"])
        for row in document["configurations"]:
            self.assertLessEqual(row["interval"][0], row["error"])
            self.assertGreaterEqual(row["interval"][1], row["error"])
            self.assertLessEqual(row["measured_interval_s"][0], row["measured"]["step_s"])
            self.assertGreaterEqual(row["rounds"], 3)
        self.check_verdict(document)

    def check_verdict(self, document):
        verdict = document["verdict"]
        low, high = verdict["interval"]
        if verdict["answer"] == "within":
            self.assertLessEqual(high, verdict["bar"])
        elif verdict["answer"] == "beyond":
            self.assertGreater(low, verdict["bar"])
        else:
            self.assertEqual(verdict["answer"], "cannot_tell")
            self.assertTrue(verdict["noise"] > verdict["bar"] or low <= verdict["bar"] < high
                            or not document["configurations"], verdict)
        self.assertTrue(0 <= document["noise"]["undisturbed_share"] <= 1, document["noise"])

    def check_steps(self, document):
        rows = document["configurations"]
        if document["verdict"]["answer"] != "cannot_tell" and len(rows) >= 5:
            factors = [max(row["predicted"]["step_s"] / row["measured"]["step_s"],
                           row["measured"]["step_s"] / row["predicted"]["step_s"])
                       for row in rows]
            self.assertLess(statistics.median(factors), 2, factors)

    def test_microbenchmarks_layers_and_prediction(self):
        saved = self.folder / "host"
        result = run("validate", "host", "--quick", "--json", "--save", str(saved))
        self.assertEqual(result.returncode, 0, result.stderr)
        document = json.loads(result.stdout)
        self.check_document(document, 24)
        self.check_steps(document)
        self.assertEqual(json.loads((saved / "validation.json").read_text()), document)
        if document["noise"]["disturbed_kernels"]:
            self.skipTest("other processes left too few windows alone for a profile: "
                          f"{document['noise']['disturbed_kernels']}")
        # The profile that it saved serves another run, which then measures layers only.
        result = run("validate", "host", "--quick", "--json", "--configurations", "3",
                     "--profile", str(saved / "profile.json"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.check_document(json.loads(result.stdout), 3)
        # Its tables give that profile again.
        again = self.folder / "again.json"
        result = run("calibrate", "host", str(saved), "--out", str(again))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(again.read_text()),
                         json.loads((saved / "profile.json").read_text()))
        # Damage is named with its place, and tables of two machines are refused.
        table = saved / "gate.csv"
        good = table.read_text()
        lines = good.splitlines()
        lines[2] = lines[2].replace("gate,1,", "gate,4096,")
        table.write_text("\n".join(lines) + "\n")
        result = run("calibrate", "host", str(saved), "--out", str(again))
        self.assertEqual(result.returncode, 2)
        self.assertIn("gate.csv:3:threads", result.stderr)
        table.write_text(good.replace("# source: ", "# source: another ", 1))
        result = run("calibrate", "host", str(saved), "--out", str(again))
        self.assertEqual(result.returncode, 2)
        self.assertIn("gate.csv:1:1", result.stderr)
        self.assertIn("another", result.stderr)

    def test_ctrl_c_ends_it(self):
        saved = self.folder / "host"
        with subprocess.Popen([MOESIM, "validate", "host", "--save", str(saved), "--scratch",
                               str(self.folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as child:
            # Its handler is there before its folder is.
            while not saved.exists() and child.poll() is None:
                time.sleep(0.01)
            time.sleep(0.5)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=280)
        self.assertEqual(child.returncode, 1, err)
        self.assertIn("interrupted", err)
        self.assertEqual(out, "")
        self.assertEqual(list(saved.iterdir()), [])
        self.assertEqual(list(self.folder.iterdir()), [saved])

    def test_memory_is_not_measured_as_a_disk(self):
        if not os.path.ismount("/dev/shm") or not os.access("/dev/shm", os.W_OK):
            self.skipTest("there is no /dev/shm")
        result = run("calibrate", "run", "cpu", "--quick", "--only", "disk", "--out",
                     str(self.folder), "--scratch", "/dev/shm")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("1 kernels left out", result.stdout)
        self.assertIn("O_DIRECT", result.stdout)
        text = (self.folder / "disk.csv").read_text()
        self.assertIn("disk_warm", text)
        self.assertNotIn("disk_direct", text)

    def test_calibration_goes_on_where_it_was(self):
        out = self.folder / "tables"
        arguments = ("calibrate", "run", "cpu", "--quick", "--out", str(out), "--only", "handoff",
                     "--only", "stream")
        first = run(*arguments)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertNotIn("kept", first.stdout)
        before = (out / "stream.csv").read_bytes()
        (out / "handoff.csv").write_text("# source: half a file\nkernel,thr")
        second = run(*arguments)
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertEqual(second.stdout.count("(kept)"), 1)
        self.assertEqual((out / "stream.csv").read_bytes(), before)
        self.assertGreater(len((out / "handoff.csv").read_text().splitlines()), 2)

    def test_bad_input(self):
        result = run("calibrate", "run", "cpu", "--out", str(self.folder), "--only", "gpu")
        self.assertEqual(result.returncode, 2)
        self.assertIn("gpu", result.stderr)
        self.assertIn("handoff", result.stderr)  # what there is
        result = run("calibrate", "host", str(self.folder), "--out", str(self.folder / "p.json"))
        self.assertEqual(result.returncode, 2)
        self.assertIn("expert.csv", result.stderr)
        (self.folder / "p.json").write_text('{"schema": "moesim.host_profile/1"}')
        result = run("validate", "host", "--profile", str(self.folder / "p.json"))
        self.assertEqual(result.returncode, 2)
        self.assertIn("p.json#/source", result.stderr)
        result = run("validate", "host", "--quick", "--trace", "routing.csv")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--trace", result.stderr)
        self.assertIn(".moetrace", result.stderr)
        result = run("validate", "host", "--quick", "--save", str(self.folder / "p.json"))
        self.assertEqual(result.returncode, 2)
        self.assertIn("--save", result.stderr)
        for option, value in (("--budget", "0"), ("--budget", "soon"), ("--bar", "-1")):
            result = run("validate", "host", "--quick", option, value)
            self.assertEqual(result.returncode, 2)
            self.assertIn(option, result.stderr)
        result = run("validate", "host", "--quick", "--scratch", "/nonexistent")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nonexistent", result.stderr)

    def test_cuda_benchmark(self):
        program = pathlib.Path(MOESIM).resolve().parent / "moesim-cuda-bench"
        if program.exists():
            self.skipTest("it is built here; its own tests run it")
        result = run("calibrate", "run", "cuda", "--out", str(self.folder), "--only", "gemm")
        self.assertEqual(result.returncode, 2)
        self.assertIn("moesim-cuda-bench", result.stderr)
        self.assertIn("nvcc", result.stderr)


if __name__ == "__main__":
    unittest.main()
