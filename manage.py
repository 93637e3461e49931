#!/usr/bin/env python3
"""Start Quittance: build .venv where it is missing, go inside, hand over to Django.

Any Python that reads this, 2.7 included, must be able to say what is missing: no newer syntax here.
"""

import os
import sys

if __name__ == "__main__":
    if sys.version_info < (3, 6):
        sys.exit(
            "Quittance needs Python 3.12 or newer; this is Python %d.%d. Start it as python3 %s"
            % (sys.version_info[0], sys.version_info[1], sys.argv[0])
        )

    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from config.bootstrap import entrance

    entrance.enter(sys.argv)

    if sys.argv[1:2] == ["test"]:
        # Before Django reads .env into this process.
        from config.management.commands.test import run_tests

        run_tests(sys.argv[2:])

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
