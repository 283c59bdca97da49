"""How the functions' dependencies get into a layer, without Docker.

1. A layer is one lock file (infra/lock.py makes it from a requirements file: every package, its
   version and its hashes) for one target (Lambda architecture and Python version).
2. Its key is a hash of that file, the target and this module: unchanged means not rebuilt.
3. pip unpacks wheels made for the target; pyvips, which PyPI has as source only, is made into
   a (pure Python) wheel first.
4. What no function can need (tests, headers, stubs, caches) is taken out.
5. What Lambda would refuse for its size is refused here.
6. The result is kept under .cache/layers/<key>, and infra/bundling.py gives it to CDK.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
CACHE = ROOT / ".cache" / "layers"

LAST_PYTHON_ON_GLIBC_2_26 = 11
"""Lambda's Python 3.11 and earlier run on Amazon Linux 2, later ones on glibc 2.34."""
SOURCE_ONLY = ("pyvips",)
"""Packages that have no wheel on PyPI and need no compiler."""
MOST_BYTES = 240_000_000
"""Of a layer with the functions' code, unpacked. Lambda takes 250 MiB, which is 262,144,000."""
LARGEST = 5
"""Packages that are named if it is more."""
UNUSED_DIRECTORIES = ("tests", "__pycache__", "include")
UNUSED_SUFFIXES = (".pyi", ".pyx", ".pxd", ".c", ".cpp", ".h", ".hpp", ".a", ".f90")


class LayerError(RuntimeError):
    """A layer that can't be built or deployed."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a layer is built for."""

    architecture: str
    """arm64 or x86_64."""
    runtime: str
    """python3.13 and the like."""
    host: bool = False
    """True: this very machine and interpreter, whatever its platform."""


def build_layer(name: str, target: Target) -> Path:
    """Return the unpacked layer (`python/` is in it), built only if the cache has none."""
    built = CACHE / f"{name}-{layer_key(name, target)}"
    if built.exists():
        return built
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        built.with_suffix(".lock").open("w") as lock,
        tempfile.TemporaryDirectory(dir=CACHE) as scratch,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if built.exists():  # by another process, meanwhile
            return built
        print(f"layer {name}: pip install for {target}", file=sys.stderr)
        _install(REQUIREMENTS / f"{name}.lock", target, Path(scratch))
        strip(Path(scratch) / "layer")
        refuse_above(MOST_BYTES, name, Path(scratch) / "layer")
        (Path(scratch) / "layer").rename(built)
    return built


def layer_key(name: str, target: Target) -> str:
    """Hash everything that decides the layer's contents."""
    lock = (REQUIREMENTS / f"{name}.lock").read_text()
    parts = [lock, repr(target), Path(__file__).read_text()]
    if target.host:
        parts.append(sys.platform)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pip_options(target: Target) -> list[str]:
    """Tell pip to pick wheels for the target; nothing to tell for this very machine."""
    if target.host:
        return []
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[target.architecture]
    minor = int(target.runtime.rpartition(".")[2])
    newest = 26 if minor <= LAST_PYTHON_ON_GLIBC_2_26 else 34
    # pip takes a tag literally: one left out means an old release, picked in silence.
    tags = [f"manylinux_2_{glibc}_{machine}" for glibc in range(17, newest + 1)]
    options = ["--only-binary=:all:", "--implementation", "cp"]
    options += ["--python-version", target.runtime.removeprefix("python")]
    for tag in [*tags, f"manylinux2014_{machine}"]:
        options += ["--platform", tag]
    return options


def strip(folder: Path) -> None:
    """Remove what no function can need, and files that would differ from build to build."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in UNUSED_DIRECTORIES:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in UNUSED_SUFFIXES:
            path.unlink()
    shutil.rmtree(folder / "python" / "bin", ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Add up the files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def refuse_above(most: int, name: str, layer: Path) -> None:
    """Refuse a layer that doesn't fit beside the functions' code, and name what is large in it.

    Raises:
        LayerError: layer and code have more than `most` bytes.
    """
    total = folder_bytes(layer) + folder_bytes(ROOT / "lambdas")
    if total <= most:
        return
    sizes = {path.name: folder_bytes(path) for path in (layer / "python").iterdir()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST]
    listed = ", ".join(f"{each} {sizes[each] / 1e6:.0f}" for each in largest)
    raise LayerError(
        f"layer {name}: {total / 1e6:.0f} MB with the functions' code, more than {most / 1e6:.0f}, "
        f"and Lambda refuses 262; remove packages from requirements/{name}.txt and run `make "
        f"locks`; the largest, in MB: {listed}"
    )


def locked(lock: Path) -> dict[str, str]:
    """Return a lock file's entries, with their hashes, by the name of the package."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    entries = [entry.strip() for entry in text.replace("\\\n", " ").splitlines()]
    return {entry.partition("==")[0]: entry for entry in entries if entry}


def _install(lock: Path, target: Target, scratch: Path) -> None:
    entries = locked(lock)
    sources = [entries.pop(name) for name in SOURCE_ONLY if name in entries]
    layer = ("install", "--no-compile", "--target", str(scratch / "layer" / "python"))
    # --no-warn-conflicts: pip compares with this interpreter's packages, which don't matter here.
    quiet = ("--no-deps", "--no-warn-conflicts")
    if sources:
        wheels = scratch / "wheels"
        wheel = ("wheel", "--no-deps", "--wheel-dir", str(wheels))
        _pip(*wheel, *_hashed(scratch / "sources.txt", sources))
        _pip(*layer, *quiet, *map(str, wheels.iterdir()))
    rest = _hashed(scratch / "rest.txt", list(entries.values()))
    _pip(*layer, *quiet, *rest, *pip_options(target))


def _hashed(path: Path, entries: list[str]) -> tuple[str, ...]:
    path.write_text("\n".join(entries))
    return ("--require-hashes", "-r", str(path))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    # CDK reads the app's stdout, so pip's goes to stderr.
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise LayerError(f"pip failed ({done.returncode}); its messages are above: {command}")
