"""Is Pango there? PDFs need it, nothing else does: WeasyPrint loads it, and pip cannot bring it."""

import ctypes
import shutil
import sys

from config.bootstrap.interpreters import sudo

LIBRARIES = {
    "linux": ("libgobject-2.0.so.0", "libpango-1.0.so.0", "libpangoft2-1.0.so.0"),
    "darwin": ("libgobject-2.0.0.dylib", "libpango-1.0.dylib", "libpangoft2-1.0.dylib"),
}

# Program that installs, and what it is to be told. A font comes along where a bare server has none.
INSTALLERS = {
    "apt-get": "install -y libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core",
    "dnf": "install -y pango dejavu-sans-fonts",
    "apk": "add pango font-dejavu",
    "pacman": "-S --noconfirm pango ttf-dejavu",
    "zypper": "install -y libpango-1_0-0 dejavu-fonts",
    "brew": "install pango",
}


def advice() -> "str | None":
    """The sentence to show before a start where PDFs cannot be made; None where they can."""
    if is_present():
        return None
    return (
        f"PDFs need Pango, which is missing here; all else works. To install it: {install_line()}"
    )


def is_present() -> bool:
    """Can WeasyPrint load what it needs?"""
    return all(_loads(name) for name in LIBRARIES.get(sys.platform, ()))


def install_line() -> str:
    """One line for this machine's shell."""
    for program, words in INSTALLERS.items():
        if shutil.which(program):
            return f"{'' if program == 'brew' else sudo()}{program} {words}"
    return "your system's package of Pango 1.44 or newer, and a font"


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
