"""python3 -m moesim_view.validation POINTS.csv --png DIR: pictures of predictions against measurements.

scatter_OPERATION.png: measured against predicted times; regimes_OPERATION.png: errors by size, experts
per rank and measured time; groups.png: every group against the naive roofline."""

import argparse
import pathlib
import sys

from moesim_view.reports import ReportError


def main():
    parser = argparse.ArgumentParser(prog="moesim_view.validation", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", metavar="POINTS.csv", help="of `moesim validate ... --points`")
    parser.add_argument("--png", required=True, metavar="DIR", type=pathlib.Path,
                        help="folder for the pictures")
    options = parser.parse_args()
    try:
        from moesim_view import points, validation_plots
    except ImportError as error:
        sys.exit(f"drawing needs matplotlib (Debian: python3-matplotlib): {error}")
    try:
        groups = points.load(options.points)
        options.png.mkdir(parents=True, exist_ok=True)
        for path in validation_plots.write_pngs(groups, options.png):
            print(path, file=sys.stderr)  # stdout belongs to the results of `moesim validate`
    except ReportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        sys.exit(f"{options.png}: cannot be written: {error.strerror}")


if __name__ == "__main__":
    main()
