"""Where settings are read from: an operator's own file, and none at all in tests."""

from __future__ import annotations

import os
import subprocess
import sys

SAY = "from config import settings; print(settings.MAIL_DIR, settings.DEFAULT_FROM_EMAIL)"


def what_settings_say(tmp_path, **environment: str) -> str:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "VAR_DIR": str(tmp_path),
        **environment,
    }
    told = subprocess.run(
        [sys.executable, "-c", SAY], env=environment, capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


def test_settings_come_from_the_file_that_env_file_names(tmp_path) -> None:
    theirs = tmp_path / "production.env"
    theirs.write_text("MAIL_FROM=Anna <anna@example.com>\n")

    said = what_settings_say(tmp_path, ENV_FILE=str(theirs))

    assert said == f"{tmp_path / 'mail'} Anna <anna@example.com>"


def test_the_environment_goes_before_the_file(tmp_path) -> None:
    theirs = tmp_path / "production.env"
    theirs.write_text("MAIL_FROM=Anna <anna@example.com>\n")

    said = what_settings_say(tmp_path, ENV_FILE=str(theirs), MAIL_FROM="Jan <jan@example.com>")

    assert said.endswith("Jan <jan@example.com>")
