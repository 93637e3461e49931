from __future__ import annotations

import json
import subprocess
import sys

from config.bench.world import ROOT

# Renderers, spreadsheets, models: what a web process must not carry around.
HEAVY = (
    *("weasyprint", "pydyf", "fontTools", "openpyxl", "xlsxwriter", "pandas", "numpy", "polars"),
    *("openai", "anthropic", "litellm", "langchain", "torch", "transformers", "css_inline"),
    *("playwright", "aiosmtpd", "django_q.cluster", "config.sandbox", "config.bench"),
)


def test_a_web_process_loads_no_renderer_no_spreadsheet_and_no_language_model():
    ask = (
        "import json, sys, config.asgi\n"
        "from django.urls import get_resolver\n"
        "from payments.providers import PROVIDERS, provider_class\n"
        "get_resolver().url_patterns\n"
        "[provider_class(slug) for slug in PROVIDERS]\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, capture_output=True, check=True, text=True
    )

    loaded = json.loads(answer.stdout.splitlines()[-1])

    assert "payments.webhooks" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []
