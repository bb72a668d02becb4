"""Says which pinned packages have known faults: python .ci/known_faults.py FILE...

Asks the advisory service of PyPI through pip-audit. Exit code 1 if there is a fault.
Where nothing could be asked it says so and ends with 0: a machine without a network
can't know. pip-audit itself calls packages that it could not look up faultless.
"""

import json
import subprocess
import sys
from typing import Any

UNCHECKED = "known faults: not checked"


def main(files: list[str]) -> int:
    """Audits requirements files; returns the exit code."""
    words, code = verdict([report(file) for file in files])
    sys.stdout.write(words + "\n")
    return code


def report(file: str) -> dict[str, Any] | None:
    """Returns pip-audit's report on a requirements file, nothing if it made none."""
    command = [sys.executable, "-m", "pip_audit", "-r", file, "--disable-pip"]
    command += ["--require-hashes", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        return json.loads(done.stdout)
    except (ValueError, OSError, subprocess.TimeoutExpired):
        return None


def verdict(reports: list[dict[str, Any] | None]) -> tuple[str, int]:
    """Returns what to print on such reports, and the exit code."""
    if None in reports:
        return f"{UNCHECKED}, no network", 0
    packages = [p for part in reports if part for p in part["dependencies"]]
    faults = {
        f"{p['name']} {p['version']}: {fault['id']}"
        f" (fixed in {', '.join(fault['fix_versions']) or 'no version yet'})"
        for p in packages
        for fault in p.get("vulns", ())
    }
    if faults:
        return "\n".join(["known faults:", *sorted(faults)]), 1
    unknown = {p["name"] for p in packages if "skip_reason" in p}
    number = len({p["name"] for p in packages})
    if len(unknown) == number:
        return f"{UNCHECKED}, the advisory service answers for none", 0
    if unknown:
        left = ", ".join(sorted(unknown))
        return f"known faults: none in {number - len(unknown)}; not checked: {left}", 0
    return f"known faults: none in {number} packages", 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
