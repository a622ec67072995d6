"""expect.py CODE PATTERN PROGRAM ARGS...: PROGRAM ends with CODE and prints what PATTERN matches."""

import re
import subprocess
import sys

code, pattern, *command = sys.argv[1:]
result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
printed = result.stdout + result.stderr
if result.returncode != int(code) or not re.search(pattern, printed, re.DOTALL):
    sys.exit(f"exit code {result.returncode}, not {code}, or no match for {pattern!r} in:\n{printed}")
