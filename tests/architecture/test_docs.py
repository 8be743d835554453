"""The documents keep up with the code: variables, dependencies, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "sipdomains" / "settings" / "base.py"
# Read before the settings' own reader exists: it names the file of the others.
BEFORE_SETTINGS = {"SIPDOMAINS_ENV_FILE"}
# The example cannot name the file it stands in, and leaves collectstatic to the documents.
NOT_IN_EXAMPLE = BEFORE_SETTINGS
_SECRET_READERS = {"secret", "secrets"}

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)


def _variables() -> dict[str, bool]:
    """Each variable that the settings read, and whether NAME_FILE is read as well."""
    found = dict.fromkeys(BEFORE_SETTINGS, False)
    for node in ast.walk(ast.parse(SETTINGS.read_text("utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="_env"), attr=reader),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found[name] = reader in _SECRET_READERS
    return found


def _names(path: Path) -> set[str]:
    return set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", path.read_text("utf-8")))


def _requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return [match[0] for line in lines if (match := re.match(r"[A-Za-z][A-Za-z0-9-]*", line))]


def test_settings_are_found_at_all() -> None:
    assert {"DATABASE_URL", "SIP_LISTEN", "MAX_CONCURRENT_CALLS"} <= _variables().keys()
    assert _variables()["DATABASE_URL"]


@pytest.mark.parametrize("document", ["docs/configuration.md", ".env.example"])
def test_every_variable_is_described(document: str) -> None:
    wanted = set(_variables())
    if document == ".env.example":
        wanted -= NOT_IN_EXAMPLE
    described = _names(ROOT / document)
    missing = {name for name in wanted if not {name, f"{name}_FILE"} & described}
    assert not missing


def test_no_variable_is_described_that_nothing_reads() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)`", (ROOT / "docs/configuration.md").read_text(), re.M)
    assert set(rows) <= _variables().keys()
    examples = re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.M)
    files = {f"{name}_FILE" for name, secret in _variables().items() if secret}
    assert set(examples) <= _variables().keys() | files


@pytest.mark.parametrize("source", ["requirements.in", "requirements-dev.in"])
def test_every_requirement_is_justified(source: str) -> None:
    text = (ROOT / "docs/dependencies.md").read_text("utf-8")
    justified = set(re.findall(r"^\| `([A-Za-z0-9-]+)", text, re.M))
    assert set(_requirements(source)) <= justified


def _links(path: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in _links(path):
        target, _, anchor = link.partition("#")
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(link)
    assert not broken


def _resources() -> set[str]:
    """Addresses of the API below an account, as the documents write them."""
    from sipdomains.api.urls import urlpatterns

    routes = (str(pattern.pattern) for pattern in urlpatterns)
    below = (route.partition("Accounts/<str:account_sid>/")[2] for route in routes)
    lists = (re.sub(r"/<str:sid>\.json$|\.json$", "", route) for route in below if route)
    return {re.sub(r"<str:\w+>", "{sid}", route) for route in lists}


def test_every_resource_of_the_api_is_in_the_table_of_what_is_supported() -> None:
    table = (ROOT / "docs/move-from-twilio.md").read_text("utf-8")
    rows = {
        name
        for cell in re.findall(r"^\| (`[^|]+) \|", table, re.M)
        for name in re.findall(r"`([^`]+)`", cell)
    }
    assert {"Calls", "SIP/Domains/{sid}/Auth/Calls/CredentialListMappings"} <= _resources()
    assert _resources() <= rows


def test_every_option_of_importtwilio_is_described() -> None:
    source = (ROOT / "sipdomains/management/commands/importtwilio.py").read_text("utf-8")
    options = set(re.findall(r"\"(--[a-z-]+)\",", source))
    described = (ROOT / "docs/move-from-twilio.md").read_text("utf-8")
    assert "--domain-suffix" in options
    assert not [option for option in options if option not in described]
