"""python3 -m moesim_view REPORT.json... --png DIR: draws imbalance.png, breakdown.png, links.png."""

import argparse
import pathlib
import sys

from moesim_view import reports


def main():
    parser = argparse.ArgumentParser(prog="moesim_view", description=__doc__)
    parser.add_argument("reports", nargs="+", metavar="REPORT.json",
                        help="of `moesim simulate --json`; several are drawn side by side")
    parser.add_argument("--png", required=True, metavar="DIR", type=pathlib.Path,
                        help="folder for the pictures")
    options = parser.parse_args()
    try:
        from moesim_view import plots
    except ImportError as error:
        sys.exit(f"drawing needs matplotlib (Debian: python3-matplotlib): {error}")
    try:
        loaded = reports.load_all(options.reports)
        options.png.mkdir(parents=True, exist_ok=True)
        for path in plots.write_pngs(loaded, options.png):
            print(path)
    except reports.ReportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        sys.exit(f"{options.png}: cannot be written: {error.strerror}")


if __name__ == "__main__":
    main()
