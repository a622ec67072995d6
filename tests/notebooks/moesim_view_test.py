"""The pictures and the demo's sentence, from small synthetic reports."""

import contextlib
import copy
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PACKAGES = pathlib.Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(PACKAGES))

try:
    import matplotlib  # noqa: F401
except ImportError:
    print("skipped: matplotlib is missing (Debian: python3-matplotlib)")
    sys.exit(77)

from moesim_view import compare, plots, reports  # noqa: E402


def report(seed=0, slower=0.0):
    """A step of 3 dense and 58 MoE layers, with numbers of a plausible size."""
    layers = [{"layer": i, "kind": "dense", "start_s": i * 7e-4, "end_s": (i + 1) * 7e-4}
              for i in range(3)]
    for i in range(3, 61):
        wobble = 0.25 + 0.1 * ((i * 7 + seed * 3) % 10) / 10 + slower
        layers.append({"layer": i, "kind": "moe", "start_s": i * 7e-4, "end_s": (i + 1) * 7e-4,
                       "imbalance_ratio": wobble, "balancedness": 1 / (1 + wobble),
                       "max_over_mean": 1 + wobble, "dispatch_s": 1e-4, "experts_s": 2e-4,
                       "combine_s": 1.5e-4, "cross_node_ratio": 0.75})
    breakdown = {"attention_s": 11.2e-3, "dense_ffn_s": 0.4e-3, "router_s": 1.1e-3,
                 "dispatch_s": 6.3e-3, "experts_s": 12.5e-3 * (1 + slower), "shared_expert_s": 1.9e-3,
                 "combine_s": 8.8e-3, "head_s": 0.2e-3, "wait_s": 0.0}
    links = [
        {"kind": "nvlink_up", "count": 32, "mean_utilisation": 0.11, "max_utilisation": 0.15,
         "bytes": 1.1e10, "busiest": "node2/gpu5/nvlink_up"},
        {"kind": "nvlink_down", "count": 32, "mean_utilisation": 0.11, "max_utilisation": 0.19,
         "bytes": 1.1e10, "busiest": "node0/gpu1/nvlink_down"},
        {"kind": "nic_up", "count": 32, "mean_utilisation": 0.37, "max_utilisation": 0.43,
         "bytes": 2.6e10, "busiest": "node1/gpu0/nic_up"},
        {"kind": "nic_down", "count": 32, "mean_utilisation": 0.37, "max_utilisation": 0.52,
         "bytes": 2.6e10, "busiest": "node3/gpu7/nic_down"},
        {"kind": "host_up", "count": 32, "mean_utilisation": 0.0, "max_utilisation": 0.0, "bytes": 0,
         "busiest": "node0/gpu0/host_up"}]  # without traffic: not drawn
    return {"schema": "moesim.report/1", "scenario": {}, "warnings": [],
            "metrics": {"step_s": sum(breakdown.values()), "fits": True,
                        "imbalance_ratio": 0.3 + slower},
            "breakdown": breakdown, "layers": layers, "links": links}


class View(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, document):
        path = self.folder / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def load(self, *documents):
        return reports.load_all([self.write(f"r{i}.json", d) for i, d in enumerate(documents)])

    def command(self, module, *arguments):
        return subprocess.run([sys.executable, "-B", "-m", module, *map(str, arguments)], text=True,
                              capture_output=True, check=False, cwd=self.folder,
                              env={"PYTHONPATH": str(PACKAGES), "PATH": "/usr/bin:/bin",
                                   "HOME": str(self.folder)})

    def test_the_command_draws_three_pictures(self):
        a, b = self.write("a.json", report()), self.write("b.json", report(1, 0.1))
        done = self.command("moesim_view", a, b, "--png", self.folder / "new" / "plots")
        self.assertEqual(done.returncode, 0, done.stderr)
        names = sorted(path.name for path in (self.folder / "new" / "plots").iterdir())
        self.assertEqual(names, ["breakdown.png", "imbalance.png", "links.png"])
        for line in done.stdout.splitlines():
            self.assertEqual(pathlib.Path(line).read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_the_pictures_show_the_numbers(self):
        one, two = self.load(report(), report(1, 0.1))
        lines = plots.draw_imbalance([one, two]).axes[0].get_lines()
        self.assertEqual(list(lines[0].get_xdata()), list(range(3, 61)))  # dense layers have none
        self.assertAlmostEqual(lines[1].get_ydata()[0], two.document["layers"][3]["max_over_mean"])
        bars = plots.draw_breakdown([one]).axes[0].patches
        self.assertEqual(len(bars), 8)  # the category without time is left out
        total_ms = 1e3 * one.document["metrics"]["step_s"]
        self.assertAlmostEqual(sum(bar.get_width() for bar in bars), total_ms)
        self.assertEqual(plots.draw_breakdown([one]).axes[0].containers[-1].__class__.__name__,
                         "BarContainer")  # a report without error bars has no whiskers
        one.document["metrics"] |= {"step_p10_s": 0.9e-3 * total_ms, "step_p90_s": 1.2e-3 * total_ms}
        whiskers = plots.draw_breakdown([one]).axes[0].containers[-1]
        ends = whiskers.lines[2][0].get_segments()[0][:, 0]
        self.assertAlmostEqual(ends[0], 0.9 * total_ms)
        self.assertAlmostEqual(ends[1], 1.2 * total_ms)
        left, right = plots.draw_links([one]).axes
        self.assertEqual([round(bar.get_width()) for bar in left.patches], [11, 11, 37, 37])
        self.assertEqual([round(bar.get_width()) for bar in right.patches], [11, 11, 26, 26])  # GB

    def test_a_dense_model_has_no_imbalance_picture(self):
        document = report()
        document["layers"] = document["layers"][:3]
        document["links"] = []
        written = plots.write_pngs(self.load(document), self.folder)
        self.assertEqual([path.name for path in written], ["breakdown.png"])

    def test_missing_keys_are_named(self):
        for pointer in ("/layers", "/breakdown", "/links", "/links/2/kind", "/layers/3/layer",
                        "/links/0/max_utilisation"):
            document = report()
            parent = document
            *path, last = pointer.split("/")[1:]
            for token in path:
                parent = parent[int(token) if token.isdigit() else token]
            del parent[last]
            with self.assertRaisesRegex(reports.ReportError, f"r0.json#{pointer}: is missing"):
                plots.write_pngs(self.load(document), self.folder)

    def test_wrong_values_are_named(self):
        document = report()
        document["breakdown"]["router_s"] = None
        with self.assertRaisesRegex(reports.ReportError, "r0.json#/breakdown/router_s: None is not"):
            plots.write_pngs(self.load(document), self.folder)
        document["breakdown"] = []
        with self.assertRaisesRegex(reports.ReportError, "#/breakdown: .* is not an object"):
            plots.write_pngs(self.load(document), self.folder)

    def test_files_that_are_no_reports(self):
        for text, words in (("{", "is not JSON"), ("[]", "is not an object")):
            path = self.folder / "x.json"
            path.write_text(text, encoding="utf-8")
            done = self.command("moesim_view", path, "--png", self.folder)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)
            self.assertEqual(list(self.folder.glob("*.png")), [])
        with self.assertRaisesRegex(reports.ReportError, "absent.json: cannot be read"):
            reports.load(self.folder / "absent.json")

    def test_the_sentence_names_winner_gain_and_cause(self):
        # step: 42.4 ms; experts at 12.5 ms take 20 % (2.5 ms) more in the slower report: 5.9 %.
        slow, fast = self.load(report(0, 0.2), report())
        slow.label, fast.label = "contiguous", "round_robin"
        self.assertEqual(
            compare.sentence(slow, fast),
            "Round_robin placement is 5.9 % faster than contiguous (42.4 ms against 44.9 ms a step), "
            "because its busiest rank carries 1.300 instead of 1.500 times the mean load, which shows "
            "most as 2.5 ms less in experts.")

    def test_the_sentence_does_not_claim_a_wrong_cause(self):
        first, second = report(), report(0, 0.2)
        first["metrics"]["imbalance_ratio"] = 0.6  # faster, though less balanced
        self.assertIn("though its busiest rank carries 1.600 instead of 1.500 times the mean load; it "
                      "gains most by 2.5 ms less in experts.",
                      compare.sentence(*self.load(first, second)))

    def test_the_sentence_knows_ties_and_memory(self):
        first, second = report(), copy.deepcopy(report())
        second["metrics"]["fits"] = False
        self.assertEqual(compare.sentence(*self.load(first, second)),
                         "R0 and r1 placement take the same time, 42.4 ms a step; r1 would not fit "
                         "into the devices' memory.")


if __name__ == "__main__":
    with contextlib.redirect_stderr(io.StringIO()) as output:
        passed = unittest.main(exit=False).result.wasSuccessful()
    print(output.getvalue())
    sys.exit(0 if passed else 1)
