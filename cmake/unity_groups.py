"""unity_groups.py LIMIT ROOT PREFIX SOURCE...: fewer, larger sources that compile to the same.

Writes PREFIX_0.cpp, PREFIX_1.cpp, ..., each of which includes several of the sources by their paths
from ROOT (the same wherever the tree lies, so that a compiler cache finds them again), and prints what
to compile instead of the sources, one path a line. Two sources that give the same name to different
things in unnamed namespaces never share a group, and no group holds more than LIMIT sources. The
groups follow from the sources' texts and order alone.
"""

import pathlib
import re
import sys

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    r"|^[ \t]*#(?:\\\n|[^\n])*|[A-Za-z_]\w*|\d[\w.']*|::|\S", re.DOTALL | re.MULTILINE)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*$")
# What may stand between the keyword that introduces a type and its name.
TYPE_WORDS = {"class", "struct", "final", "alignas"}


def tokens(text):
    """The words and signs of a source, without comments, texts and preprocessor lines."""
    for match in TOKEN.finditer(text):
        token = match.group()
        if not token.lstrip().startswith(("//", "/*", "#")):
            yield '""' if token[0] in "\"'" or token.startswith('R"') else token


def without_template_head(words):
    """A declaration behind its `template <...>`."""
    while words and words[0] == "template":
        depth = 0
        for index, word in enumerate(words):
            depth += (word == "<") - (word == ">")
            if word == ">" and depth == 0:
                words = words[index + 1:]
                break
        else:
            return []
    return words


def declared_name(words):
    """The name that a declaration at namespace scope introduces, or None."""
    words = without_template_head(words)
    if not words or words[0] in ("static_assert", "friend"):
        return None
    if words[0] == "using" and "=" not in words:
        return None
    if words[0] in ("struct", "class", "enum", "union", "using"):
        return next((word for word in words[1:] if IDENTIFIER.match(word) and word not in TYPE_WORDS),
                    None)
    depth = 0
    for before, word in zip(words, words[1:] + [";"]):
        depth += (before == "<") - (before == ">")
        if depth == 0 and word in ("(", "=", "{", "[", ";") and IDENTIFIER.match(before):
            # Not operators; in capitals and with arguments: a macro, which makes its own names.
            return None if before == "operator" or (before.isupper() and word == "(") else before
    return None


def local_names(text):
    """{name: (where, words)} of what a source defines for itself; words tell aliases apart."""
    found = {}
    scopes = []  # names of the open namespaces; None for a brace of any other kind
    words = []
    round_depth = 0
    for token in tokens(text):
        round_depth -= token == ")"
        at_namespace = None not in scopes and round_depth == 0
        round_depth += token == "("
        if token == "{" and at_namespace:
            if "namespace" in words:
                scopes.append("".join(words[words.index("namespace") + 1:]))
                words = []
            else:
                note(found, scopes, words)
                scopes.append(None)
        elif token == "{":
            scopes.append(None)
        elif token == "}" and scopes:
            if scopes.pop() is not None or None not in scopes and "=" not in words:
                words = []
        elif token == ";" and at_namespace:
            note(found, scopes, words)
            words = []
        elif at_namespace:
            words.append(token)
    return found


def note(found, scopes, words):
    name = declared_name(words)
    if name and ("" in scopes or "static" in words or words[0] == "using"):
        found[name] = ("::".join(scopes), words if words[0] == "using" else None)


def clash(mine, others):
    for name in mine.keys() & others.keys():
        where, alias = mine[name]
        if alias is None or others[name] != (where, alias):
            return True
    return False


def groups(texts, limit):
    """The group of each text: as few groups as limit and clashes allow, and equally full."""
    names = [local_names(text) for text in texts]
    members = [[] for _ in range(-(-len(texts) // limit))]
    chosen = []
    for mine in names:
        free = [group for group in range(len(members)) if len(members[group]) < limit
                and not any(clash(mine, names[other]) for other in members[group])]
        if not free:
            free = [len(members)]
            members.append([])
        group = min(free, key=lambda candidate: len(members[candidate]))
        members[group].append(len(chosen))
        chosen.append(group)
    return chosen


def write_group(path, names):
    """Leaves a file alone that is right already, and with it what was made of it."""
    text = "".join(f'#include "{name}"\n' for name in names)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main():
    limit, root, prefix, *sources = sys.argv[1:]
    paths = [pathlib.Path(source).resolve() for source in sources]
    chosen = groups([path.read_text(encoding="utf-8") for path in paths], int(limit))
    for group in sorted(set(chosen)):
        members = [path for path, its_group in zip(paths, chosen) if its_group == group]
        if len(members) == 1:
            print(members[0])
        else:
            file = pathlib.Path(f"{prefix}_{group}.cpp")
            write_group(file, [member.relative_to(root).as_posix() for member in members])
            print(file)


if __name__ == "__main__":
    main()
