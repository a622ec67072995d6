"""links_test.py ROOT: every link from one document of the tree to a file, and to a heading in it, leads
somewhere; the glossary is sorted. Prints one line per violation and exits with 1 if there is any.
"""

import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def documents(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others",
                             "--exclude-standard", "*.md"], capture_output=True, text=True,
                            check=False).stdout.splitlines()
    names = listed or [str(path.relative_to(root)) for path in root.rglob("*.md")
                       if path.relative_to(root).parts[0] != "build"]
    return [root / name for name in names if (root / name).is_file()]


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(text):
    """As GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken_links(root):
    for document in documents(root):
        for target in LINK.findall(without_code(document.read_text(encoding="utf-8"))):
            if re.match(r"\w+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (document.parent / name).resolve() if name else document
            where = document.relative_to(root)
            if not file.exists():
                yield f"{where}: {target} is no file"
            elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
                yield f"{where}: {target}: no such heading"


def glossary_disorder(root):
    text = (root / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)]
    if len(words) < 40:
        yield f"docs/glossary.md: {len(words)} words"
    for before, after in zip(words, words[1:]):
        if before > after:
            yield f"docs/glossary.md: {after} stands behind {before}"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    found = [*broken_links(root), *glossary_disorder(root)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
