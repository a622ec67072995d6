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


STEPS = ("model_path,system,backend,backend_version,precision,mode,isl,osl,concurrency,"
         "decode_num_workers,decode_tp_size,decode_pp_size,decode_attention_dp_size,"
         "decode_moe_tp_size,decode_moe_ep_size,silicon_ttft_ms,silicon_tpot_ms\n")


def check_steps(moesim, folder):
    """Every row is judged or skipped with a reason, and the points say what the groups do."""
    lite = "deepseek-ai/DeepSeek-V2-Lite,h100_sxm,sglang,0.5,bf16,"
    table = folder / "serving.csv"
    table.write_text("# source: made\n" + STEPS +
                     lite + "disagg,1024,1024,256,1,1,1,8.0,1,8,300,8.0\n" +
                     lite + "disagg,1024,1024,512,2,1,1,8,1,8,,7.0\n" +
                     lite + "agg,1024,1024,256,,,,,,,300,9.0\n" +
                     "lab/Other,h100_sxm,sglang,0.5,bf16,disagg,1024,1024,256,1,1,1,8,1,8,300,8.0\n")
    points = folder / "steps.csv"
    report = json.loads(run(moesim, "validate", "steps", table, "--json", "--points", points).stdout)
    assert report["rows_read"] == 4 and sum(row["n"] for row in report["skipped"]) == 2, report
    (group,) = report["groups"]
    assert group["name"] == "step_s/deepseek-v2-lite/h100_sxm/sglang/bf16" and group["n"] == 2, group
    assert group["baseline"]["naive_median_ape"] > 0, group
    with open(points, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    inside = sum(float(p["p10_s"]) <= float(p["measured_s"]) <= float(p["p90_s"]) for p in rows)
    assert len(rows) == 2 and abs(group["coverage_80"] - inside / 2) < 1e-9, (group, rows)
    errors = [float(p["predicted_s"]) / float(p["measured_s"]) - 1 for p in rows]
    assert abs(group["mean_signed_error"] - sum(errors) / 2) < 1e-5, (group, errors)
    # 256 requests on 8 ranks, some of which wait; 512 on 2 x 8 ranks that never do.
    assert int(rows[0]["requests_per_rank"]) < 32 == int(rows[1]["requests_per_rank"]), rows
    text = run(moesim, "validate", "steps", table).stdout
    assert "2 rows judged" in text and "skipped 1 rows: mode agg" in text, text
    assert run(moesim, "validate", "steps", table, "--threads", "2").stdout == text
    table.write_text(STEPS + lite + "disagg,1024,1024,many,1,1,1,8,1,8,300,8.0\n")
    bad = run(moesim, "validate", "steps", table, status=2).stderr
    assert 'serving.csv:2:concurrency: "many" is not a finite number' in bad, bad


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
        check_steps(moesim, folder)
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
