"""What `moesim calibrate fit` promises: its profiles can be simulated.

usage: calibrate_fit_test.py MOESIM SCENARIOS
"""

import json
import pathlib
import subprocess
import sys
import tempfile


def run(*arguments, status=0):
    result = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=120,
                            check=False)
    assert result.returncode == status, (result.returncode, result.stderr)
    return result


def write_tables(folder):
    """Products at 80 % of the bandwidth or half the peak; all-reduces at half the link's rate."""
    system = folder / "h100_sxm"
    system.mkdir(parents=True)
    lines = []
    for m in (1, 4, 16, 64, 256, 1024, 4096):
        for n, k in ((1024, 2048), (4096, 4096), (8192, 1024), (2048, 8192)):
            seconds = 3e-6 + max(2 * m * n * k / 0.5e15, 2 * (m * k + n * k + m * n) / 2.7e12)
            lines.append(f"cublas,bfloat16,{m},{n},{k},{seconds * 1e3:.6f}\n")
    (system / "gemm__moesim-7.csv").write_text(
        "# source: made\nkernel_source,gemm_dtype,m,n,k,latency_ms\n" + "".join(lines))
    lines = [f"half,{gpus},{2 ** i},all_reduce,"
             f"{(8e-6 + 2 * (gpus - 1) / gpus * 2 * 2 ** i / 225e9) * 1e3:.6f}\n"
             for gpus in (2, 4, 8) for i in range(8, 28)]
    (system / "nccl-9.9.csv").write_text(
        "# source: made\nnccl_dtype,num_gpus,message_elements,op_name,latency_ms\n" + "".join(lines))


def row_of(report, kind, family):
    return next(r for r in report["provenance"][kind] if r["family"] == family)


def main(moesim, scenarios):
    scenario = pathlib.Path(scenarios) / "mixtral_8x7b_decode_tp2ep4_h100.json"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_tables(folder / "measured")
        kernels, comm = folder / "mine/models/profiles", folder / "mine/models/comm/profiles"
        run(moesim, "calibrate", "fit", folder / "measured", "--date", "2026-11", status=2)
        written = run(moesim, "calibrate", "fit", folder / "measured", "--date", "2026-11", "--out",
                      kernels, "--comm-out", comm).stdout.splitlines()
        assert [pathlib.Path(p).name for p in written] == [
            "h100_sxm.moesim-7.json", "h100_sxm.json"], written
        # A spec sheet would answer for all that these tables do not have.
        assert not (kernels / "spec_sheet.json").exists()
        sheet = run(moesim, "calibrate", "fit", folder / "measured", "--date", "2026-11", "--out",
                    folder / "sheet", "--spec-sheet").stdout.splitlines()
        assert [pathlib.Path(p).name for p in sheet] == [
            "h100_sxm.moesim-7.json", "spec_sheet.json"], sheet
        # A profile of the same name is in the shipped catalog: this one is of another machine.
        document = json.loads((comm / "h100_sxm.json").read_text())
        assert [(c["op"], c["library"]) for c in document["collectives"]] == [
            ("all_reduce", "nccl-9.9")]
        assert document["collectives"][0]["fit"]["median_error"] < 0.03, document
        (comm / "h100_sxm.json").rename(comm / "my_h100.json")

        def simulate(*settings, status=0):
            arguments = [x for s in settings for x in ("--set", s)]
            return run(moesim, "simulate", scenario, "--catalog", folder / "mine", "--json",
                       *arguments, status=status)
        report = json.loads(simulate("/policy/kernels=moesim",
                                     "/policy/collectives=nccl-9.9").stdout)
        row = row_of(report, "kernels", "gemm/bf16")
        assert (row["profile"], row["basis"]) == ("h100_sxm/moesim-7", "calibrated"), row
        assert row_of(report, "kernels", "moe/bf16")["profile"] != "spec_sheet"
        row = row_of(report, "communication", "collective/all_reduce")
        assert (row["profile"], row["library"]) == ("my_h100", "nccl-9.9"), row
        # The shipped catalog alone has no such framework, and says which it has.
        error = run(moesim, "simulate", scenario, "--set", "/policy/kernels=moesim",
                    status=2).stderr
        assert "/policy/kernels" in error and "infersim" in error and "spec_sheet" in error, error
        error = simulate("/policy/collectives=mpi", status=2).stderr
        assert "/policy/collectives" in error and "nccl-9.9" in error, error
        # Where catalogs kept them before the laws were models'.
        (folder / "mine/hardware").mkdir()
        comm.rename(folder / "mine/hardware/profiles")
        report = json.loads(simulate("/policy/collectives=nccl-9.9").stdout)
        row = row_of(report, "communication", "collective/all_reduce")
        assert (row["profile"], row["library"]) == ("my_h100", "nccl-9.9"), row


if __name__ == "__main__":
    main(*sys.argv[1:])
