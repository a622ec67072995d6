"""Pictures of placements and rebalancing show the results' numbers."""

import contextlib
import io
import json
import pathlib
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

from moesim_view import placement, placement_plots, reports  # noqa: E402


def result():
    """Two layers on three GPUs: loads 6, 3, 3 (mean 4) become 4, 4, 4."""
    return {"method": "auto", "objective": 12.0, "lower_bound": 10.0, "proven_optimal": False,
            "placement": [[0, 1, 2], [0, 1, 2]],
            "heat": {"contiguous": [[6, 3, 3], [4, 4, 4]], "found": [[4, 4, 4], [4, 4, 4]]},
            "traffic": {"contiguous": [[0, 5, 5], [5, 0, 5], [5, 5, 0]],
                        "found": [[10, 2, 2], [2, 10, 2], [2, 2, 10]]},
            "history": [{"seconds": 0.001, "objective": 20.0, "lower_bound": 0.0},
                        {"seconds": 0.01, "objective": 20.0, "lower_bound": 10.0},
                        {"seconds": 0.1, "objective": 12.0, "lower_bound": 10.0}]}


def window(serving, moving=0.0, imbalance=1.5):
    return {"serving_s": serving, "migration_s": moving, "bytes": 0, "migrated": moving > 0,
            "max_over_mean": imbalance}


def rebalance():
    return {"schema": "moesim.place-rebalance/1", "windows": 2, "policies": [
        {"policy": "never", "total_s": 20.0, "windows": [window(10), window(10)]},
        {"policy": "oracle", "total_s": 17.0, "windows": [window(10), window(6, 1, 1.1)]}]}


class View(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def sort_out(self, *documents):
        paths = []
        for i, document in enumerate(documents):
            paths.append(self.folder / f"r{i}.json")
            paths[-1].write_text(json.dumps(document), encoding="utf-8")
        return placement.sort_out(paths)

    def draw(self, *documents):
        _, placements, rebalances = self.sort_out(*documents)
        return sorted(path.name for path in
                      placement_plots.write_pngs(placements, rebalances, self.folder))

    def test_every_picture_that_has_data_is_drawn(self):
        self.assertEqual(self.draw(result(), rebalance()),
                         ["gap.png", "heat.png", "rebalance.png", "traffic.png"])
        bare = result()
        for key in ("heat", "traffic", "history"):
            del bare[key]
        self.assertEqual(self.draw(bare), [])
        bare["heat"] = {"found": [[1, 2]]}
        self.assertEqual(self.draw(bare, result()),
                         ["gap-r1.png", "heat-r0.png", "heat-r1.png", "traffic-r1.png"])

    def test_kinds_are_told_apart(self):
        step = {"schema": "moesim.report/1"}
        steps, placements, rebalances = self.sort_out(step, result(), rebalance())
        self.assertEqual([len(steps), len(placements), len(rebalances)], [1, 1, 1])

    def test_the_heat_map_shows_loads_over_the_mean(self):
        figure = placement_plots.draw_heat(self.sort_out(result())[1][0])
        before, after = figure.axes[:2]
        self.assertEqual(before.images[0].get_array().tolist(), [[1.5, 0.75, 0.75], [1, 1, 1]])
        self.assertEqual(after.images[0].get_array().tolist(), [[1, 1, 1], [1, 1, 1]])
        self.assertIn("1.250", before.get_title())  # mean of 1.5 and 1
        self.assertEqual(before.images[0].norm.vmin, 0.5)  # as far below 1 as the busiest is above
        self.assertEqual(before.images[0].norm, after.images[0].norm)

    def test_the_traffic_map_counts_what_stays(self):
        figure = placement_plots.draw_traffic(self.sort_out(result())[1][0])
        before, after = figure.axes[:2]
        self.assertIn("30 token pairs", before.get_title())
        self.assertIn("42 token pairs, 71.4 % stay", after.get_title())

    def test_the_gap_is_the_results(self):
        axes = placement_plots.draw_gap(self.sort_out(result())[1][0]).axes[0]
        best, bound = axes.get_lines()
        self.assertEqual(list(best.get_ydata()), [20, 20, 12, 12])
        self.assertEqual(list(bound.get_ydata()), [10, 10, 10])  # none before 0.01 s
        self.assertEqual([text.get_text() for text in axes.texts], ["gap 20.00 %"])
        timed = placement_plots.draw_gap(self.sort_out(result() | {"unit": "s"})[1][0]).axes[0]
        self.assertEqual(timed.get_ylabel(), "objective (s)")
        proven = result() | {"proven_optimal": True}
        axes = placement_plots.draw_gap(self.sort_out(proven)[1][0]).axes[0]
        self.assertEqual([text.get_text() for text in axes.texts], ["proven optimal"])

    def test_time_saved_is_against_never(self):
        figure = placement_plots.draw_rebalance(self.sort_out(rebalance())[2][0])
        left, right = figure.axes
        self.assertEqual(list(left.get_lines()[1].get_ydata()), [1.5, 1.1])
        self.assertEqual(list(right.get_lines()[1].get_ydata()), [0, 3])  # 10 - (6 + 1)

    def test_wrong_values_are_named(self):
        ragged = result()
        ragged["heat"]["found"][1] = [1]
        with self.assertRaisesRegex(reports.ReportError, "r0.json#/heat/found/1: 1 entries"):
            self.draw(ragged)
        missing = rebalance()
        del missing["policies"][1]["windows"][0]["serving_s"]
        with self.assertRaisesRegex(reports.ReportError,
                                    "#/policies/1/windows/0/serving_s: is missing; is this a result "
                                    "of `moesim place rebalance"):
            self.draw(missing)


if __name__ == "__main__":
    with contextlib.redirect_stderr(io.StringIO()) as output:
        passed = unittest.main(exit=False).result.wasSuccessful()
    print(output.getvalue())
    sys.exit(0 if passed else 1)
