"""Find a Python that can carry Quittance: this one, one on PATH, one of pyenv's, one of uv's."""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (3, 12)
# Those the tests know, the best first. Anything newer is taken only where none of them is found.
TESTED = ((3, 13), (3, 12), (3, 14))

# Looked into after PATH, which env -i empties and macOS keeps short.
USUAL_FOLDERS = ("/usr/local/bin", "/opt/homebrew/bin", "/usr/bin", "/bin")

# Prints version, whether venv can bring pip, and the Python behind any virtualenv or shim.
# An interpreter built without ssl or sqlite3 stops at the first line.
PROBE = """
import sqlite3, ssl, sys, venv
try:
    import ensurepip
except ImportError:
    ensurepip = None
if sys.implementation.name != "cpython" or "t" in sys.abiflags:
    sys.exit(1)
path = getattr(sys, "_base_executable", sys.executable)
print(sys.version_info[0], sys.version_info[1], int(ensurepip is not None), path)
"""


class Interpreter:
    """A Python that was started and answered."""

    def __init__(self, path: str, version: "tuple[int, int]", brings_pip: bool) -> None:
        self.path = path
        self.version = version
        # Debian packs this part separately, as python3-venv.
        self.brings_pip = brings_pip

    @property
    def name(self) -> str:
        return "Python {}.{}".format(*self.version)


def find(uv: "str | None") -> "tuple[Interpreter | None, list[Interpreter]]":
    """The Python to build .venv with, and those that were looked at and will not do.

    Without uv it must be able to bring pip itself.
    """
    unfit = []
    untested = None
    for path in _candidates(uv):
        found = probe(path)
        if found is None:
            continue
        if found.version < OLDEST or not (uv or found.brings_pip):
            unfit.append(found)
        elif found.version in TESTED:
            return found, unfit
        else:
            untested = untested or found
    return untested, unfit


def find_uv() -> "str | None":
    """The first uv on PATH that runs. A pyenv shim may exist and lead nowhere."""
    for path in _on_path("uv"):
        if _answer([path, "--version"]):
            return path
    return None


def probe(path: str) -> "Interpreter | None":
    """Start it and ask: being a file called python3 proves nothing."""
    words = _answer([path, "-I", "-c", PROBE]).split(None, 3)
    if len(words) != 4:
        return None
    major, minor, brings_pip, executable = words
    return Interpreter(executable, (int(major), int(minor)), brings_pip == "1")


def pyenv_roots() -> "list[str]":
    """Where pyenv may live, also when HOME is empty or somebody else's."""
    roots = [os.environ.get("PYENV_ROOT", "")]
    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):  # A container's user without an entry.
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    roots += [os.path.join(home, ".pyenv") for home in homes if home]
    for path in [sys.executable or "", *_path_folders()]:
        found = re.match(r"(.+)/(?:shims|versions/[^/]+/bin)(?:/|$)", path)
        if found:
            roots.append(found.group(1))
    return [root for root in _once(roots) if os.path.isdir(os.path.join(root, "versions"))]


def advice(unfit: "list[Interpreter]") -> str:
    """What to install, by what this machine has."""
    for found in unfit:
        if found.version >= OLDEST:
            return (
                f"{found.name} ({found.path}) cannot make virtual environments yet. "
                "Install that part and start again:\n"
                f"    {sudo()}apt-get install python{found.version[0]}.{found.version[1]}-venv"
            )
    lines = [
        f"Quittance needs Python 3.12 or newer; the newest found here is {_newest(unfit)}.",
        "Any of these brings one:",
    ]
    if shutil.which("brew"):
        lines.append("    brew install python@3.13")
    if shutil.which("apt-get"):
        lines.append(
            f"    {sudo()}apt-get install python3 python3-venv   (from Debian 13, Ubuntu 24.04 on)"
        )
    if shutil.which("dnf"):
        lines.append(f"    {sudo()}dnf install python3.12")
    if pyenv_roots():
        lines.append("    pyenv install 3.13")
    lines.append("    uv python install 3.13   (where uv is installed; then start again)")
    return "\n".join(lines)


def sudo() -> str:
    """What goes before a line that installs something."""
    return "" if os.getuid() == 0 else "sudo "


def _candidates(uv: "str | None") -> "Iterator[str]":
    names = ["python{}.{}".format(*version) for version in TESTED] + ["python3"]
    seen = set()
    for path in _every_place(names, uv):
        if path not in seen:
            seen.add(path)
            yield path


def _every_place(names: "list[str]", uv: "str | None") -> "Iterator[str]":
    if sys.executable:
        yield sys.executable
    for name in names:
        yield from _on_path(name)
    for root in pyenv_roots():
        yield from _under_pyenv(root)
    if uv:
        path = _answer([uv, "python", "find", "--system", "--no-project", ">=3.12"])
        if path:
            yield path


def _on_path(name: str) -> "list[str]":
    paths = [os.path.join(folder, name) for folder in _path_folders()]
    return [path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)]


def _path_folders() -> "list[str]":
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *USUAL_FOLDERS]
    return [folder for folder in _once(folders) if os.path.isabs(folder)]


def _under_pyenv(root: str) -> "list[str]":
    found = []
    for name in os.listdir(os.path.join(root, "versions")):
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)$", name)
        if numbers:
            major, minor, patch = (int(number) for number in numbers.groups())
            if (major, minor) >= OLDEST:
                rank = TESTED.index((major, minor)) if (major, minor) in TESTED else len(TESTED)
                found.append((rank, -patch, os.path.join(root, "versions", name, "bin", "python3")))
    return [path for _, _, path in sorted(found)]


def _newest(found: "list[Interpreter]") -> str:
    if not found:
        return "{}.{}".format(*sys.version_info[:2])
    newest = max(found, key=lambda interpreter: interpreter.version)
    return f"{newest.name} ({newest.path})"


def _answer(command: "list[str]") -> str:
    """What the command prints; nothing when it fails, hangs or is not there."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
            universal_newlines=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _once(items: "list[str]") -> "list[str]":
    return list(dict.fromkeys(item for item in items if item))
