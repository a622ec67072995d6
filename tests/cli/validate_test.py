"""What `moesim validate` promises about points, regimes and pictures.

usage: validate_test.py MOESIM
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile

HEADER = "# source: made\nkernel_source,gemm_dtype,m,n,k,latency_ms\n"


def run(*arguments, status=0):
    result = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=120,
                            check=False)
    assert result.returncode == status, (result.returncode, result.stderr)
    return result


def has_matplotlib():
    return subprocess.run(["/usr/bin/python3", "-c", "import matplotlib"], capture_output=True,
                          check=False).returncode == 0


def write_tables(folder):
    """30 GEMMs whose times follow no law, and a collective's sizes."""
    system = folder / "h100_sxm"
    system.mkdir()
    rows = [f"torch_flow,bfloat16,{m},4096,4096,{0.02 * (1 + i % 7)}\n"
            for i, m in enumerate([16] * 15 + [64] * 15)]
    (system / "gemm__trtllm-9.csv").write_text(HEADER + "".join(rows))
    lines = [f"half,{gpus},{2 ** (10 + i)},all_reduce,0.05\n" for gpus in (4, 8) for i in range(6)]
    (system / "nccl-2.29.2.csv").write_text(
        "# source: made\nnccl_dtype,num_gpus,message_elements,op_name,latency_ms\n" + "".join(lines))


def check(moesim, kind, tables, folder, group_name, rows):
    points = folder / f"{kind}.csv"
    plain = json.loads(run(moesim, "validate", kind, tables, "--json").stdout)
    report = json.loads(run(moesim, "validate", kind, tables, "--json", "--regimes", "--points",
                            points).stdout)
    group = next(g for g in report["groups"] if g["name"] == group_name)
    with open(points, newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == sum(g["n"] for g in report["groups"]) == rows, len(table)
    inside = sum(float(p["p10_s"]) <= float(p["measured_s"]) <= float(p["p90_s"]) for p in table)
    assert abs(group["inside_p10_p90"] - inside / rows) < 1e-5, (group, inside)
    errors = sorted(abs(float(p["predicted_s"]) / float(p["measured_s"]) - 1) for p in table)
    assert errors[(rows - 1) // 2] - 1e-4 <= group["median_ape"] <= errors[rows // 2] + 1e-4, group
    first = table[0]
    assert pathlib.Path(first["file"]).exists() and first["line"] == "3", first
    regime = group.pop("worst_regime")
    assert regime["from"] < regime["to"] and regime["median_ape"] >= group["median_ape"] * 0.99, regime
    for other in report["groups"]:
        other.pop("worst_regime", None)
    assert report == plain, "--regimes and --points change nothing else"
    text = run(moesim, "validate", kind, tables, "--regimes").stdout
    assert "inside p10-p90" in text and "worst regime" in text, text
    assert "worst regime" not in run(moesim, "validate", kind, tables).stdout
    return table


def check_pictures(moesim, tables, folder):
    plots = folder / "new" / "plots"
    result = run(moesim, "validate", "kernels", tables, "--png", plots, "--json")
    json.loads(result.stdout)  # nothing but the report
    names = sorted(path.name for path in plots.iterdir())
    assert names == ["groups.png", "points.csv", "regimes_gemm.png", "scatter_gemm.png"], names
    for path in plots.glob("*.png"):
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", path


def main():
    moesim = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tables = folder / "measured"
        tables.mkdir()
        write_tables(tables)
        table = check(moesim, "kernels", tables, folder, "gemm/trtllm/h100_sxm/bf16", 30)
        assert (table[0]["m"], table[0]["k"], table[0]["tokens"]) == ("16", "4096", "")
        table = check(moesim, "collectives", tables, folder,
                      "nccl_all_reduce/nccl-2.29.2/h100_sxm/half", 12)
        assert (table[0]["ranks"], table[0]["bytes"], table[0]["tokens"]) == ("4", "2048", "")
        absent = run(moesim, "validate", "kernels", tables, "--points", folder / "no" / "x.csv", status=2)
        assert "--points" in absent.stderr and "does not exist" in absent.stderr, absent.stderr
        if has_matplotlib():
            check_pictures(moesim, tables, folder)
        else:
            print("skipped: pictures, matplotlib is missing (Debian: python3-matplotlib)")
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
