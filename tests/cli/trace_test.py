"""moesim trace fit: a profile that generates, from a trace; and what it refuses.

usage: trace_test.py MOESIM
"""

import json
import pathlib
import subprocess
import sys
import tempfile


def run(moesim, *arguments, code=0):
    done = subprocess.run([moesim, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr


def generate(moesim, profile, tokens, out):
    run(moesim, "trace", "generate", "--profile", profile, "--tokens", tokens, "--out", out)


def main():
    moesim = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        trace, profile, again = folder / "t.moetrace", folder / "p.json", folder / "again.moetrace"
        generate(moesim, "gpt-moe-16", 2000, trace)
        fit = json.loads(run(moesim, "trace", "fit", trace, "--out", profile, "--name", "mine",
                             "--date", "2026-11", "--rounds", 1, "--json"))
        assert fit["rounds"] == 1 and 0 < fit["token_recall_miss"] < 1, fit
        fitted = json.loads(profile.read_text())
        assert (fitted["name"], fitted["date"]) == ("mine", "2026-11"), fitted
        info = json.loads(run(moesim, "trace", "info", trace, "--json"))
        assert fitted["router"]["experts"] == info["experts"]
        assert fitted["model"] == info["model"]
        generate(moesim, profile, 500, again)
        assert json.loads(run(moesim, "trace", "info", again, "--json"))["tokens"] == 500

        wrong = folder / "wrong.json"
        said = run(moesim, "trace", "fit", trace, "--out", wrong, "--start", "deepseek-v3", code=2)
        assert "layers, experts or top_k differ" in said, said
        said = run(moesim, "trace", "fit", profile, "--out", wrong, code=2)
        assert "p.json" in said, said
        said = run(moesim, "trace", "fit", trace, "--out", folder / "no" / "p.json", code=2)
        assert "does not exist" in said, said
        assert not wrong.exists()
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
