"""check_architectures.py PROGRAM ARCH...: does the program hold machine code for every ARCH (80, 90)?

Reads the section .nv_fatbin: containers of a 16-byte head (magic number, version, head's size, size
of the rest) and entries, whose heads hold the kind (1 PTX, 2 machine code) at byte 0, their own size
at 4, the size of what follows at 8 and the architecture at 28. Works where cuobjdump is not
installed.
"""

import struct
import sys

MAGIC = 0xBA55ED50
MACHINE_CODE = 2


def section(image, wanted):
    """The bytes of a section of a 64-bit little-endian ELF file."""
    table, = struct.unpack_from("<Q", image, 0x28)
    size, count, names_at = struct.unpack_from("<HHH", image, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", image, table + i * size) for i in range(count)]
    names = heads[names_at][4]
    for name, _, _, _, offset, length in heads:
        start = names + name
        if image[start:image.index(b"\0", start)] == wanted:
            return image[offset:offset + length]
    sys.exit(f"the program has no section {wanted.decode()}")


def architectures(fatbin):
    at, found = 0, {}
    while at + 16 <= len(fatbin):
        magic, _, head, length = struct.unpack_from("<IHHQ", fatbin, at)
        if magic != MAGIC:
            at += 8  # padding between containers
            continue
        entry, end = at + head, at + head + length
        while entry < end:
            kind, _, entry_head, entry_length = struct.unpack_from("<HHIQ", fatbin, entry)
            arch, = struct.unpack_from("<I", fatbin, entry + 28)
            if kind == MACHINE_CODE:
                found[arch] = found.get(arch, 0) + 1
            entry += entry_head + entry_length
        at = end
    return found


def main():
    with open(sys.argv[1], "rb") as file:
        found = architectures(section(file.read(), b".nv_fatbin"))
    print("machine code:", ", ".join(f"sm_{a} ({n} modules)" for a, n in sorted(found.items())))
    missing = [arch for arch in map(int, sys.argv[2:]) if arch not in found]
    if missing or len(set(found.values())) > 1:
        sys.exit(f"not every module has code for every architecture; missing: {missing}")


if __name__ == "__main__":
    main()
