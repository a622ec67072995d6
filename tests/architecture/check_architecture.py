"""check_architecture.py ROOT: the rules of the source tree that no compiler checks.

Prints one line per violation ("file:line: what is wrong; what would be right") and exits with 1 if
there is any. Reads the files that git tracks, or all files where ROOT is no git work tree.
"""

import pathlib
import re
import subprocess
import sys

# Which folder may include which others. One way only; the four in the middle exchange plain data.
MAY_INCLUDE = {
    "sim/core": set(),
    "hardware": {"sim/core"},
    "models": {"sim/core"},
    "workloads": {"sim/core"},
    "placement": {"sim/core"},
    "sim/engine": {"sim/core", "hardware", "models", "workloads", "placement"},
    "sim/simgrid": {"sim/core", "sim/engine"},
    "calibrate": {"sim/core", "hardware", "models", "workloads", "placement", "sim/engine"},
    "sim/cli": {
        "sim/core", "hardware", "models", "workloads", "placement", "sim/engine", "sim/simgrid",
        "calibrate",
    },
}
# Programs: they may print and exit. The microbenchmarks under calibrate/cuda stand alone.
PROGRAMS = ("sim/cli/", "calibrate/cuda/", "tests/")
LONGEST = 400
SOURCE = (".h", ".cpp", ".cu", ".cuh", ".py")
CPP = (".h", ".cpp", ".cu", ".cuh")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
# Not a member (x.exit()), not part of a longer name (my_exit()).
PRINTS = re.compile(
    r"(?<![\w.>])(?:std::)?(?:v?f?printf|puts|fputs|putchar)\s*\(|\bstd::(?:cout|cerr|clog)\b")
EXITS = re.compile(
    r"(?<![\w.>:])(?:std::|::)?(?:exit|_exit|_Exit|quick_exit|abort|terminate)\s*\(")
RANDOM = re.compile(r"\bstd::(?:\w+_distribution|random_device|s?rand|shuffle)\b")


def tracked_files(root):
    if (root / ".git").exists():
        listed = subprocess.run(["git", "-C", str(root), "ls-files"], check=True,
                                capture_output=True, text=True).stdout.splitlines()
        return [name for name in listed if (root / name).is_file()]
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.parts[0] != "build")


def without_comments_and_texts(text):
    """The same lines, with comments and literals blanked, except in #include lines."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)

    def blank(match):
        start = text.rfind("\n", 0, match.start()) + 1
        if INCLUDE.match(text[start:match.end()]) and match.group().startswith('"'):
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())

    return token.sub(blank, text)


def folder_of(name):
    """The row of the table that a path belongs to, or None."""
    return next((folder for folder in MAY_INCLUDE if name.startswith(folder + "/")), None)


def check_include(name, bracket, target, files):
    folder = folder_of(name)
    if bracket == "<":
        if re.match(r"(simgrid|xbt)/", target) and folder != "sim/simgrid":
            yield f"<{target}> belongs to sim/simgrid; use the engine's backend interface"
        if target == "iostream" and not name.startswith(PROGRAMS):
            yield "<iostream> in a library; libraries return values, sim/cli prints"
        if target == "nlohmann/json.hpp" and name.endswith(".h") and folder:
            yield "<nlohmann/json.hpp> in a header costs seconds per file; <nlohmann/json_fwd.hpp>"
        return
    if target not in files:
        yield f'"{target}" is no tracked file; write the path from the root'
        return
    target_folder = folder_of(target)
    if folder is None or target_folder == folder:
        return
    if target_folder not in MAY_INCLUDE[folder]:
        allowed = ", ".join(sorted(MAY_INCLUDE[folder])) or "nothing else"
        yield f'{folder} may not include "{target}"; it may include: {allowed}'


def check_cpp(name, text, files):
    for number, line in enumerate(without_comments_and_texts(text).split("\n"), 1):
        include = INCLUDE.match(line)
        if include:
            for problem in check_include(name, include.group(1), include.group(2), files):
                yield f"{name}:{number}: {problem}"
        elif not name.startswith(PROGRAMS):
            if PRINTS.search(line):
                yield f"{name}:{number}: prints; libraries return values, sim/cli prints"
            if EXITS.search(line):
                yield f"{name}:{number}: ends the process; throw ConfigError or InvariantError"
            if RANDOM.search(line):
                yield f"{name}:{number}: not the same on every platform; use sim/core/rng.h"


def check_listed(name, root, files):
    """A .cpp that no CMakeLists.txt names is never compiled, a test never run."""
    for parent in pathlib.PurePosixPath(name).parents:
        lists = (parent / "CMakeLists.txt").as_posix()
        if lists in files:
            words = re.sub(r"#[^\n]*", "", (root / lists).read_text(encoding="utf-8"))
            relative = pathlib.PurePosixPath(name).relative_to(parent).as_posix()
            if relative not in re.split(r"[\s()\"]+", words):
                yield f"{name}:1: not listed in {lists}; add it there or delete it"
            return
    yield f"{name}:1: no CMakeLists.txt above it"


def violations(root):
    names = tracked_files(root)
    files = set(names)
    for name in names:
        if not name.endswith(SOURCE):
            continue
        text = (root / name).read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LONGEST:
            yield f"{name}:{LONGEST + 1}: {lines} lines; split it, the limit is {LONGEST}"
        if not name.endswith(CPP):
            continue
        if folder_of(name) is None and not name.startswith(PROGRAMS):
            yield f"{name}:1: in no folder of the table MAY_INCLUDE; add a row there"
        yield from check_cpp(name, text, files)
        if name.endswith(".cpp"):
            yield from check_listed(name, root, files)


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    found = list(violations(root))
    for line in found:
        print(line)
    sources = sum(name.endswith(SOURCE) for name in tracked_files(root))
    if sources == 0:
        sys.exit(f"{root} holds no sources")
    print(f"{len(found)} violations in {sources} sources")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
