"""The rules of the house that tools can check (architecture section 4 and 10)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sipdomains import contracts
from sipdomains.celery import ROUTES, app

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("sipdomains", "twimlrunner", "sipserver", "tests", "bench")
MAX_LINES = 500


def sources(*packages: str) -> list[Path]:
    return [
        path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    ]


def test_no_module_is_over_500_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n")
        for path in sources(*PACKAGES)
    }
    assert {name: size for name, size in lengths.items() if size > MAX_LINES} == {}


def test_import_contracts_hold() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_every_task_name_is_a_registered_task_and_routed() -> None:
    app.loader.import_default_modules()
    names = {value for name, value in vars(contracts).items() if name.startswith("TASK_")}
    registered = {name for name in app.tasks if not name.startswith("celery.")}
    assert names == registered
    assert names == set(ROUTES)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\b(TODO|FIXME|XXX)\b", "loose ends"),
        (r"except( Exception)?:\s*\n\s*pass", "an error swallowed in silence"),
    ],
)
def test_no_loose_ends(pattern: str, why: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources("sipdomains", "twimlrunner", "sipserver")
        if re.search(pattern, path.read_text("utf-8"))
    ]
    assert found == [], why


def test_settings_load_no_model() -> None:
    code = (
        "import sys, sipdomains.settings; "
        "assert not [name for name in sys.modules if name.startswith('sipdomains.models')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_no_template_has_code_or_styles_of_its_own() -> None:
    """The Content-Security-Policy would keep the browser from using them."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "sipdomains" / "templates").rglob("*.html")
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"<style|\bstyle=|<script>|\bon[a-z]+=\"", line)
    ]
    assert found == []
