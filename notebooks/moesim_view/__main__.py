"""python3 -m moesim_view RESULT.json... --png DIR: draws imbalance, breakdown and links of steps;
heat, traffic and gap of placements; rebalance of policies over time."""

import argparse
import pathlib
import sys

from moesim_view import placement, reports


def main():
    parser = argparse.ArgumentParser(prog="moesim_view", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULT.json",
                        help="of `moesim simulate --json` (several are drawn side by side), `moesim "
                             "place --json` or `moesim place rebalance --json`")
    parser.add_argument("--png", required=True, metavar="DIR", type=pathlib.Path,
                        help="folder for the pictures")
    options = parser.parse_args()
    try:
        from moesim_view import placement_plots, plots
    except ImportError as error:
        sys.exit(f"drawing needs matplotlib (Debian: python3-matplotlib): {error}")
    try:
        steps, placements, rebalances = placement.sort_out(options.results)
        options.png.mkdir(parents=True, exist_ok=True)
        written = plots.write_pngs(steps, options.png) if steps else []
        written += placement_plots.write_pngs(placements, rebalances, options.png)
        for path in written:
            print(path)
    except reports.ReportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        sys.exit(f"{options.png}: cannot be written: {error.strerror}")


if __name__ == "__main__":
    main()
