"""translate.py IN.cu OUT.cpp: device code as C++ for emulation.h.

kernel<<<blocks, threads, bytes, stream>>>(arguments) becomes a call of launch(), shared variables
become static ones (blocks run one after the other), the dynamic array a pointer.
"""

import re
import sys


def closing(text, start, opening, end):
    """The index behind the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == opening) - (text[i] == end)
        if depth == 0:
            return i + 1
    sys.exit("brackets do not match")


def name_before(text, end):
    """Where the name of the kernel, with its template arguments, begins."""
    start = end
    if text[start - 1] == ">":
        depth = 0
        while True:
            start -= 1
            depth += (text[start] == ">") - (text[start] == "<")
            if depth == 0:
                break
    while re.match(r"\w", text[start - 1]):
        start -= 1
    return start


def translated(text):
    while (at := text.find("<<<")) >= 0:
        behind = text.index(">>>", at)
        start = name_before(text, at)
        end = closing(text, behind + 3, "(", ")")
        blocks, threads, shared, stream = split_outside(text[at + 3:behind])
        call = text[start:at] + text[behind + 3:end]
        text = (f"{text[:start]}::moesim::emulation::launch({blocks}, {threads}, {shared}, {stream}, "
                f"[&] {{ {call}; }}){text[end:]}")
    text = re.sub(r"extern __shared__ __align__\(16\) unsigned char (\w+)\[\];",
                  r"unsigned char* \1 = ::moesim::emulation::dynamic_shared();", text)
    return re.sub(r"\b__shared__( __align__\(\d+\))?", "static", text)


def split_outside(text):
    """At commas outside brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        text = source.read()
    with open(sys.argv[2], "w", encoding="utf-8") as target:
        target.write('#include "calibrate/cuda/emulator/emulation.h"\n' + translated(text))


if __name__ == "__main__":
    main()
