"""Go into .venv: at once where it is ready, otherwise after building it."""

import os
import sys

from config.bootstrap import stamp


def enter(argv: "list[str]") -> None:
    """Return inside a .venv that fits requirements.lock; from outside, start again in there.

    Costs milliseconds where .venv is ready. Where it cannot be built, ends with a sentence.
    """
    if os.name == "nt":
        sys.exit("Quittance runs on Linux and macOS. On Windows, start it inside WSL.")

    inside = os.path.realpath(sys.prefix) == os.path.realpath(stamp.VENV)
    if inside and stamp.fits(python="{}.{}".format(*sys.version_info[:2])):
        return
    if inside or not stamp.fits():
        _build()
    _start_again(argv)


def _build() -> None:
    from config.bootstrap import building

    try:
        building.build_venv()
    except building.SetupFailed as failure:
        sys.exit(f"\n{failure}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next start begins the set-up again.")


def _start_again(argv: "list[str]") -> None:
    # Left behind by macOS framework builds and by odd shells; both lead a .venv's Python out of it.
    for name in ("__PYVENV_LAUNCHER__", "PYTHONHOME"):
        os.environ.pop(name, None)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(stamp.PYTHON, [stamp.PYTHON, os.path.join(stamp.ROOT, "manage.py"), *argv[1:]])
