"""Does the suite notice known defects?

Each tests/mutants/*.patch breaks one thing. It is applied to a scratch copy of the tree, the tests
are built and run, and one of them has to fail. Exits with 1 if a mutant survives, does not compile
or no longer applies.

Head of a patch, before the diff:
    # breaks: what the patch does wrong
    # tests: labels of the tests to build and run first (the whole suite follows if they pass)
"""

import argparse
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = pathlib.Path(__file__).resolve().parent
TREE = ROOT / "build" / "mutants" / "tree"
BUILD = TREE / "build" / "release"
# `mutants` checks that the patches apply, which a patched tree cannot pass.
EXCLUDED_LABELS = "^(slow|mutants)$"


class Mutant:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        head, _, diff = path.read_text(encoding="utf-8").partition("\n--- ")
        self.breaks = self.field(head, "breaks")
        self.labels = self.field(head, "tests").split()
        self.files = re.findall(r"^\+\+\+ b/(\S+)", "--- " + diff, re.MULTILINE)
        if not self.files:
            sys.exit(f"{path.name}: holds no diff with lines '--- a/FILE' and '+++ b/FILE'")

    def field(self, head, key):
        found = re.search(rf"^# {key}: (.+)$", head, re.MULTILINE)
        if not found:
            sys.exit(f"{self.path.name}: the line '# {key}: ...' is missing")
        return found.group(1)


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)


def git(*arguments):
    done = run(["git", "-C", str(ROOT), *arguments])
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)}: {done.stdout}")
    return done.stdout.splitlines()


def copy_tree():
    """Makes TREE equal to the tracked files. Equal files keep their times, so little is rebuilt."""
    names = [name for name in git("ls-files") if (ROOT / name).is_file()]
    for name in names:
        source, target = ROOT / name, TREE / name
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        os.utime(target)
    kept = set(names)
    for path in TREE.rglob("*"):
        relative = path.relative_to(TREE)
        if relative.parts[0] != "build" and path.is_file() and relative.as_posix() not in kept:
            path.unlink()


def apply(mutant, check_only=False):
    """True if the patch fits. Outside any repository for git, so that paths mean TREE's files."""
    command = ["git", "apply", "--whitespace=nowarn", str(mutant.path)]
    if check_only:
        command.insert(2, "--check")
    return run(command, cwd=ROOT if check_only else TREE,
               env={**os.environ, "GIT_CEILING_DIRECTORIES": str(TREE.parent)}).returncode == 0


def environment():
    # Objects are found again, though the folder is another; those of the ordinary build only if it was
    # made with the same variables, as in .ci/run.
    return {"CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1",
            "CCACHE_SLOPPINESS": "pch_defines,time_macros", **os.environ}


def configure(*more):
    """With the options of an ordinary build, so that the cache has its objects."""
    command = ["cmake", "--preset", "release", "-DMOESIM_WERROR=OFF", "-DMOESIM_UNITY=OFF",
               *os.environ.get("MOESIM_CMAKE_ARGS", "").split(), "-DMOESIM_BENCH=OFF",
               "-DMOESIM_CUDA=OFF", *more]
    if shutil.which("ccache"):
        command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
    done = run(command, cwd=TREE, env=environment())
    if done.returncode != 0:
        sys.exit(done.stdout)


def build(labels, jobs):
    """Builds the test executables of the labels, or everything. None, or the compiler's words."""
    command = ["cmake", "--build", str(BUILD), "-j", str(jobs)]
    if labels:
        # Scripts test the program itself.
        targets = {"cli": "moesim", "golden": "moesim", "notebooks": "moesim"}
        command += ["--target", *(targets.get(label, f"moesim_test_{label}") for label in labels)]
    done = run(command, env=environment())
    return None if done.returncode == 0 else done.stdout


def failing_tests(labels, jobs):
    """Names of the tests that fail, at least one if there are any."""
    command = ["ctest", "--test-dir", str(BUILD), "-j", str(jobs), "--stop-on-failure", "--timeout",
               "120", "--no-label-summary", "-LE", EXCLUDED_LABELS]
    if labels:
        command += ["-L", f"^({'|'.join(labels)})$"]
    done = run(command)
    if done.returncode == 0:
        if "No tests were found" in done.stdout:
            sys.exit(f"no test has one of the labels {labels}")
        return []
    return re.findall(r"^\s+\d+ - (.+) \(\w[^)]*\)$", done.stdout, re.MULTILINE) or [done.stdout]


class Suite:
    """The unbroken tree must pass what is held against the mutants."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.trusted = set()

    def trust(self, labels):
        key = tuple(labels)
        if key in self.trusted:
            return
        problem = build(labels, self.jobs)
        if problem:
            sys.exit(f"the unbroken tree does not build:\n{problem}")
        failing = failing_tests(labels, self.jobs)
        if failing:
            sys.exit("the unbroken tree fails: " + "; ".join(failing))
        self.trusted.add(key)

    def verdict(self, mutant):
        """(verdict, details) of a mutant."""
        for labels in (mutant.labels, []):
            copy_tree()
            self.trust(labels)
            if not apply(mutant):
                return "stale", "the patch no longer applies; rewrite it"
            problem = build(labels, self.jobs)
            if problem and "-Werror" in problem:
                # What is broken may well be unused now.
                configure("-DMOESIM_WERROR=OFF")
                problem = build(labels, self.jobs)
            if problem:
                return "no build", problem[-2000:]
            failing = failing_tests(labels, self.jobs)
            if failing:
                return "killed", failing[0]
        return "SURVIVED", mutant.breaks


def changed_files():
    """Files that the last five commits or the working tree changed."""
    committed = git("log", "-n", "5", "--name-only", "--pretty=format:")
    return set(committed) | set(git("diff", "--name-only", "HEAD"))


def select(mutants, names, changed, most):
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        sys.exit(f"no mutant is called {', '.join(sorted(unknown))}; there are: "
                 + ", ".join(mutant.name for mutant in mutants))
    if names:
        mutants = [mutant for mutant in mutants if mutant.name in names]
    if changed:
        files = changed_files()
        mutants = [mutant for mutant in mutants
                   if files & {*mutant.files, f"tests/mutants/{mutant.path.name}"}]
    if most is not None and len(mutants) > most:
        # Another choice for every commit, the same on every machine.
        head = git("rev-parse", "HEAD")[0]
        mutants.sort(key=lambda mutant: hashlib.sha256((head + mutant.name).encode()).hexdigest())
        mutants = sorted(mutants[:most], key=lambda mutant: mutant.name)
    return mutants


def main():
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="names of mutants (default: all)")
    parser.add_argument("--changed", action="store_true",
                        help="only those that break a file which the last five commits changed")
    parser.add_argument("--max", type=int, metavar="N", help="at most N of them")
    parser.add_argument("--check", action="store_true", help="only check that the patches apply")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("MOESIM_JOBS", os.cpu_count())))
    options = parser.parse_args()

    mutants = [Mutant(path) for path in sorted(PATCHES.glob("*.patch"))]
    mutants = select(mutants, options.names, options.changed, options.max)
    if options.check:
        stale = [mutant.name for mutant in mutants if not apply(mutant, check_only=True)]
        print(f"{len(mutants) - len(stale)} of {len(mutants)} mutants apply")
        sys.exit(f"stale: {', '.join(stale)}" if stale else 0)
    if not mutants:
        print("no mutant concerns the changed files")
        return

    copy_tree()
    configure()
    suite = Suite(options.jobs)
    verdicts = []
    for mutant in mutants:
        start = time.monotonic()
        verdict, details = suite.verdict(mutant)
        verdicts.append(verdict)
        print(f"{verdict:9} {mutant.name:36} {time.monotonic() - start:5.0f} s  {details}", flush=True)
    copy_tree()
    killed = verdicts.count("killed")
    print(f"{killed} of {len(verdicts)} mutants killed")
    sys.exit(0 if killed == len(verdicts) else 1)


if __name__ == "__main__":
    main()
