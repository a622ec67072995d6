"""Every leaf of configurations changed: read or refused, never a crash and never silent nonsense.

usage: model_robustness_test.py MOESIM CONFIGS [CASES]

CONFIGS holds {name: config.json}; ten of them, of different families, are changed leaf by leaf to 0,
-1, 2.5, 1e18, null and a text. With CASES, that many changes are drawn evenly, else all are tried.
The program ends with 0 or 2, and with 2 it says why. What ends with 0 has finite counts, no more
active than total parameters; and a key whose increment by one changes the counts takes no value
that is no whole number of its range (-1, 2.5, 1e18, a text).
"""

import concurrent.futures
import copy
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

CHOSEN = ["deepseek_v32", "deepseek_v4", "qwen3_5_moe", "gpt_oss", "llama4", "nemotron_3",
          "nemotron_nas", "gemma4", "jamba", "step3p5"]
ODD = [-1, 2.5, 1e18, "x"]
VALUES = [0, *ODD, None]
COUNTS = ["total_parameters", "active_parameters", "kv_bytes_per_token",
          "state_bytes_per_sequence", "kv_bytes_per_sequence", "weight_bytes"]


def leaves(value, path=()):
    """Paths of all leaves; of lists longer than three the first, second and last element."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for i in sorted({0, 1, len(value) - 1} & set(range(len(value)))):
            yield from leaves(value[i], (*path, i))
    else:
        yield path


def changed(config, path, value):
    config = copy.deepcopy(config)
    at = config
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return config


def leaf(config, path):
    for key in path:
        config = config[key]
    return config


class Program:
    def __init__(self, moesim, folder):
        self.moesim = moesim
        self.folder = folder

    def sheet(self, name, config):
        """(counts, "") of what is read, (None, complaint) of what is refused."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        done = subprocess.run([self.moesim, "catalog", "show", "model", str(path), "--json"],
                              capture_output=True, text=True, timeout=60, check=False)
        path.unlink()
        assert done.returncode in (0, 2), (name, done.returncode, done.stderr)
        if done.returncode == 2:
            assert str(path) in done.stderr and len(done.stderr) < 4000, (name, done.stderr)
            return None, done.stderr.strip()
        sheet = json.loads(done.stdout)
        for key in COUNTS[:4]:
            assert math.isfinite(sheet[key]) and sheet[key] >= 0, (name, key, sheet[key])
        assert sheet["active_parameters"] <= sheet["total_parameters"] * (1 + 1e-9), name
        return {key: sheet[key] for key in COUNTS}, ""

    def judge(self, case):
        """What is wrong with one change; "" if nothing is."""
        name, config, path, value = case
        label = f"{name}-{'.'.join(map(str, path))}-{value}".replace("/", "_")
        counts, _ = self.sheet(label, changed(config, path, value))
        if counts is None or not any(value is odd for odd in ODD):
            return ""
        old = leaf(config, path)
        if isinstance(old, bool) or not isinstance(old, int):
            return ""
        before, _ = self.sheet(label, config)
        if counts != before:
            return f"{label}: taken, and other counts"
        more, _ = self.sheet(label, changed(config, path, old + 1))
        if more is not None and more != before:
            return f"{label}: taken as if it were {old}"
        return ""


def main():
    moesim = sys.argv[1]
    configs = json.loads(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8"))
    cases = [(name, configs[name], path, value) for name in CHOSEN
             for path in leaves(configs[name]) for value in VALUES]
    if len(sys.argv) > 3:
        cases = cases[::max(1, len(cases) // int(sys.argv[3]))]
    with tempfile.TemporaryDirectory() as folder:
        program = Program(moesim, pathlib.Path(folder))
        for name in CHOSEN:
            assert program.sheet(name, configs[name])[0] is not None, name
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            wrong = [text for text in pool.map(program.judge, cases) if text]
    assert not wrong, "\n".join(wrong)
    print(f"{len(cases)} changes of {len(CHOSEN)} configurations were read or refused")


if __name__ == "__main__":
    main()
