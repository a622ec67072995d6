"""moesim counts what the model classes create.

usage: model_counts_test.py MOESIM [FOLDER]

Every configuration of configs.json (small, made up, one or more per family) is read with exactly the
parameters, cache and state bytes of tensors.py; every *.json of FOLDER (published configurations,
where they lie beside the checkout) with parameters within 0.5 %, or refused with a reason. At most
one in twenty of those is refused.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import tensors

HERE = pathlib.Path(__file__).resolve().parent


def shown(moesim, path):
    """(what `catalog show` says, "") or (None, its complaint)"""
    done = subprocess.run([moesim, "catalog", "show", "model", str(path), "--json"],
                          capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 2 and done.stderr.strip():
        return None, done.stderr.strip().splitlines()[-1]
    assert done.returncode == 0, f"{path}: exit code {done.returncode}: {done.stderr}"
    return json.loads(done.stdout), ""


def difference(sheet, config, tolerance):
    """What differs from our own count; "" if nothing does."""
    own = tensors.count(config)
    pairs = {"total_parameters": own["total"], "active_parameters": own["active"],
             "kv_bytes_per_token": own["kv_per_token"], "state_bytes_per_sequence": own["state"]}
    wrong = [f"{key} {sheet[key]}, counted {value}" for key, value in pairs.items()
             if abs(sheet[key] - value) > tolerance * max(abs(value), 1e-9)]
    return "; ".join(wrong)


def in_parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def check_made_up(moesim, folder):
    configs = json.loads((HERE / "configs.json").read_text(encoding="utf-8"))
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    answers = in_parallel(lambda name: shown(moesim, folder / f"{name}.json"), configs)
    for (name, config), (sheet, complaint) in zip(configs.items(), answers):
        assert sheet is not None, f"{name}: {complaint}"
        wrong = difference(sheet, config, 1e-12)
        assert not wrong, f"{name}: {wrong}"
    untried = set(tensors.FAMILIES) - {
        (c.get("text_config") or c)["model_type"] for c in configs.values()}
    print(f"{len(configs)} made-up configurations agree; without one of their own: "
          f"{', '.join(sorted(untried))}")


def check_published(moesim, files):
    answers = in_parallel(lambda path: shown(moesim, path), files)
    refused = 0
    for path, (sheet, complaint) in zip(files, answers):
        if sheet is None:
            refused += 1
            print(f"refused: {path.name}: {complaint}")
            continue
        wrong = difference(sheet, json.loads(path.read_text(encoding="utf-8")), 0.005)
        assert not wrong, f"{path.name}: {wrong}"
    print(f"{len(files) - refused} of {len(files)} published configurations agree")
    assert refused * 20 <= len(files), f"{refused} of {len(files)} are refused"


def main():
    moesim = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        check_made_up(moesim, pathlib.Path(name))
    files = sorted(pathlib.Path(sys.argv[2]).glob("*.json")) if len(sys.argv) > 2 else []
    if files:
        check_published(moesim, files)
    else:
        print("no published configurations beside the checkout")


if __name__ == "__main__":
    main()
