"""Makes the layers' lock files: every package, its version and its hashes. Run by `make locks`.

The versions hold for all runtimes and both architectures: they are those for the oldest Python.
"""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
LAYERS = ("worker", "finalize")
PYTHON, PLATFORM = "3.11", "aarch64-manylinux_2_28"
IN_RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
"""What Lambda's Python runtimes have already."""
UNUSED = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "pybind11")
"""Tools for tests and builds that packages name as what they need."""


def lock(uv: Path, name: str) -> None:
    """Write requirements/<name>.lock from requirements/<name>.txt."""
    options = ["--generate-hashes", "--python-version", PYTHON, "--python-platform", PLATFORM]
    options += ["--constraint", "test.txt", "--no-annotate", "--quiet"]
    options += ["--custom-compile-command", "make locks"]
    for package in (*IN_RUNTIME, *UNUSED):
        options += ["--no-emit-package", package]
    command = [uv, "pip", "compile", f"{name}.txt", "--output-file", f"{name}.lock", *options]
    subprocess.run(command, cwd=REQUIREMENTS, check=True)


if __name__ == "__main__":
    for each in LAYERS:
        lock(Path(sys.argv[1]).resolve(), each)
