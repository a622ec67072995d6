"""The pictures of predictions against measurements, from small synthetic tables of points."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "notebooks"))

try:
    import matplotlib  # noqa: F401
except ImportError:
    print("skipped: matplotlib is missing (Debian: python3-matplotlib)")
    sys.exit(77)

from moesim_view import points, reports, validation_plots as plots  # noqa: E402

HEADER = "group,kernel_source,m,tokens,local_experts,measured_s,predicted_s,p10_s,p90_s,naive_s," \
         "extrapolated,file,line"


def row(group, m="", tokens="", experts="", measured=1e-5, error=0.1):
    predicted = measured * (1 + error)
    return f"{group},k,{m},{tokens},{experts},{measured},{predicted},{0.95 * predicted}," \
           f"{1.05 * predicted},{0.2 * measured},0,x.csv,3"


def rows_of(group, count, **values):
    return [row(group, **values) for _ in range(count)]


class Validation(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def load(self, lines, header=HEADER):
        path = self.folder / "points.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return points.load(path)

    def test_groups_keep_their_numbers(self):
        gemm, moe = self.load([*rows_of("moe/a/s/fp8", 10, tokens=8, experts=4, error=0.2),
                               *rows_of("gemm/a/s/bf16", 6, m=16, error=0.1),
                               *rows_of("gemm/a/s/bf16", 4, m=16, error=-0.01)])
        self.assertEqual((gemm.operation, gemm.panel), ("gemm", "a/s/bf16"))
        self.assertEqual([what for what, _ in gemm.variables()], ["m", "measured time (s)"])
        self.assertEqual([what for what, _ in moe.variables()],
                         ["tokens", "experts per rank", "measured time (s)"])
        self.assertAlmostEqual(plots.percentile(gemm.errors(), 0.5), 0.1)
        self.assertAlmostEqual(gemm.inside(), 0.4)  # 10 % is outside of 5 % to each side
        self.assertAlmostEqual(gemm.naive_errors()[0], 0.8)

    def test_regimes_are_ranges_of_two(self):
        [group] = self.load([*rows_of("gemm/a/s/x", 10, m=4, error=0.1),
                             *rows_of("gemm/a/s/x", 20, m=7, error=0.3),
                             *rows_of("gemm/a/s/x", 10, m=8, error=0.5),
                             *rows_of("gemm/a/s/x", 9, m=100, error=0.9)])
        (_, sizes), _ = group.variables()
        middles, medians, p90s = plots.regimes(sizes, group.errors())
        self.assertEqual([round(m, 2) for m in middles], [5.66, 11.31])  # nine rows are too few
        self.assertEqual([round(m, 6) for m in medians], [0.3, 0.5])
        self.assertEqual([round(m, 6) for m in p90s], [0.3, 0.5])

    def test_many_points_are_thinned_evenly_and_always_alike(self):
        self.assertEqual(list(plots.drawn(5)), [0, 1, 2, 3, 4])
        chosen = plots.drawn(325_466)
        self.assertEqual(len(chosen), plots.MOST_POINTS)
        self.assertEqual(len(set(chosen)), plots.MOST_POINTS)
        self.assertEqual((chosen[0], chosen[1]), (0, 16))
        self.assertGreater(chosen[-1], 325_466 - 18)

    def test_the_pictures_show_the_numbers(self):
        groups = self.load([*rows_of("gemm/a/s/x", 12, m=4, error=0.1),
                            *rows_of("gemm/b/s/x", 12, m=4, measured=2e-5, error=0.3)])
        scatter = plots.draw_scatter(groups)
        visible = [axes for axes in scatter.axes if axes.get_visible()]
        self.assertEqual([axes.get_title(loc="left") or axes.get_title() for axes in visible],
                         ["a/s/x", "b/s/x"])
        dots = visible[1].collections[-1].get_offsets()
        self.assertEqual(len(dots), 12)
        self.assertAlmostEqual(dots[0][1] / dots[0][0], 1.3)
        bars = plots.draw_groups(groups).axes[0].patches
        self.assertEqual([round(bar.get_width(), 6) for bar in bars], [80, 80, 10, 30])
        lines = plots.draw_regimes(groups).axes[0].get_lines()
        self.assertEqual([round(line.get_ydata()[0], 6) for line in lines], [10, 10, 30, 30])

    def test_large_operations_take_several_pictures(self):
        groups = self.load([row(f"gemm/a/s/{i:02}", m=4) for i in range(plots.MOST_PANELS + 1)])
        self.assertEqual([(name, len(own)) for name, own in plots.pages(groups)],
                         [("gemm", plots.MOST_PANELS), ("gemm_2", 1)])
        written = plots.write_pngs(groups[-1:], self.folder)  # one row: no regime to draw
        self.assertEqual([path.name for path in written], ["scatter_gemm.png", "groups.png"])

    def test_tables_that_cannot_be_used_are_named(self):
        for lines, header, words in (
                ([], HEADER, "holds no rows"),
                ([row("gemm/a/s/x", m=4)], HEADER.replace("p90_s", "p91_s"), "1: the column p90_s"),
                (["gemm/a,k"], HEADER, "2: 2 fields, but the header names 13"),
                ([row("gemm/a/s/x", m="many")], HEADER, "2: could not convert"),
                ([row("gemm/a/s/x", m=4, measured=-1.0)], HEADER, "not a positive time")):
            with self.assertRaisesRegex(reports.ReportError, words):
                self.load(lines, header)
        with self.assertRaisesRegex(reports.ReportError, "absent.csv: cannot be read"):
            points.load(self.folder / "absent.csv")


if __name__ == "__main__":
    with contextlib.redirect_stderr(io.StringIO()) as output:
        passed = unittest.main(exit=False).result.wasSuccessful()
    print(output.getvalue())
    sys.exit(0 if passed else 1)
