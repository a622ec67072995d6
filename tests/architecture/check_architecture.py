"""check_architecture.py ROOT: the rules of the source tree that no compiler checks.

Prints one line per violation ("file:line: what is wrong; what would be right") and exits with 1 if
there is any. Reads the files that git tracks, or all files where ROOT is no git work tree.
"""

import pathlib
import posixpath
import re
import subprocess
import sys

# Which folder may include which others. One way only; the five in the middle exchange plain data.
MAY_INCLUDE = {
    "sim/core": set(),
    "sim/flow": {"sim/core"},
    "hardware": {"sim/core"},
    "models": {"sim/core"},
    "workloads": {"sim/core"},
    "placement": {"sim/core"},
    "sim/engine": {"sim/core", "sim/flow", "hardware", "models", "workloads", "placement"},
    "sim/simgrid": {"sim/core", "sim/flow"},
    "sim/training": {
        "sim/core", "sim/flow", "hardware", "models", "workloads", "placement", "sim/engine",
    },
    "sim/plan": {
        "sim/core", "sim/flow", "hardware", "models", "workloads", "placement", "sim/engine",
        "sim/training",
    },
    "sim/reproduce": {
        "sim/core", "sim/flow", "hardware", "models", "workloads", "placement", "sim/engine",
        "sim/training",
    },
    # Before its parent folder: it runs on this machine and needs OpenBLAS, which the fits do not.
    "calibrate/cpu": {
        "sim/core", "sim/flow", "hardware", "models", "workloads", "placement", "sim/engine",
        "calibrate",
    },
    "calibrate": {
        "sim/core", "sim/flow", "hardware", "models", "workloads", "placement", "sim/engine",
        "sim/training",
    },
    "sim/app": {
        "sim/core", "sim/flow", "hardware", "models", "workloads", "placement", "sim/engine",
        "sim/training", "sim/simgrid", "sim/plan", "sim/reproduce", "calibrate", "calibrate/cpu",
    },
    # One front end of several: what it may not include, every other one can do as well.
    "sim/cli": {"sim/core", "sim/app"},
}
# Programs: they may print and exit. The microbenchmarks under calibrate/cuda stand alone.
PROGRAMS = ("sim/cli/", "calibrate/cuda/", "tests/")
# Ends a forked child, which must not run its parent's destructors.
MAY_EXIT = ("sim/simgrid/child_process.cpp",)
# Their structures hold JSON values, or only sources of their own folder include them.
MAY_INCLUDE_JSON = ("models/network/hf_config_internal.h", "sim/app/simulate.h", "sim/engine/scenario.h",
                    "sim/engine/simulation.h")
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
            yield f"<{target}> belongs to sim/simgrid; use the backend interface of sim/flow"
        if target == "iostream" and not name.startswith(PROGRAMS):
            yield "<iostream> in a library; libraries return values, sim/cli prints"
        if target == "nlohmann/json.hpp" and name.endswith(".h") and folder \
                and name not in MAY_INCLUDE_JSON:
            yield "<nlohmann/json.hpp> in a header costs seconds per file; <nlohmann/json_fwd.hpp>"
        return
    if name.startswith("tests/") and "/" not in target:  # a helper beside its only users
        target = (pathlib.PurePosixPath(name).parent / target).as_posix()
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
            if EXITS.search(line) and name not in MAY_EXIT:
                yield f"{name}:{number}: ends the process; throw ConfigError or InvariantError"
            if RANDOM.search(line):
                yield f"{name}:{number}: not the same on every platform; use sim/core/rng.h"


def named_types(raw):
    """(line number, qualified name) of every type that a namespace defines with linkage.

    Rests on the project's format: what stands in a namespace is not indented, and what closes one
    carries a comment."""
    namespaces = []
    for number, line in enumerate(raw.split("\n"), 1):
        opened = re.match(r"namespace\s*([\w:]*)\s*\{$", line)
        if opened:
            namespaces.append(opened.group(1))
        elif re.match(r"\}\s*// namespace", line) and namespaces:
            namespaces.pop()
        defined = re.match(r"(?:struct|class|enum class|enum)\s+(\w+)\s*(?:final\s*)?(?::[^:;]*)?\{", line)
        if defined and "" not in namespaces:
            yield number, "::".join([*namespaces, defined.group(1)])


# Two types of one name in one program break the one-definition rule, and no linker says so: one
# constructor runs on the other's memory.
def check_names(texts):
    first = {}
    for name, text in texts.items():
        for number, qualified in named_types(text):
            if qualified in first and first[qualified] != name:
                yield (f"{name}:{number}: {qualified} is defined in {first[qualified]} as well; "
                       "one name, one type: rename one, or move it into an unnamed namespace")
            first.setdefault(qualified, name)


def listed_sources(root, files):
    """Every .cpp that some CMakeLists.txt names, as a path from the root."""
    listed = set()
    for lists in files:
        if posixpath.basename(lists) == "CMakeLists.txt":
            text = re.sub(r"#[^\n]*", "", (root / lists).read_text(encoding="utf-8"))
            for word in re.findall(r"[^\s()\"]+\.cpp", text):
                here = "" if word.startswith("${PROJECT_SOURCE_DIR}/") else posixpath.dirname(lists)
                word = word.removeprefix("${PROJECT_SOURCE_DIR}/")
                listed.add(posixpath.normpath(posixpath.join(here, word)))
    return listed


def violations(root):
    names = tracked_files(root)
    files = set(names)
    listed = listed_sources(root, files)
    yield from check_names({name: (root / name).read_text(encoding="utf-8") for name in names
                            if name.endswith(CPP)})
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
        if name.endswith(".cpp") and name not in listed:
            yield f"{name}:1: never compiled; list it in a CMakeLists.txt or delete it"


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
