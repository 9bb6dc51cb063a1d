"""The site builds without a warning, and its reference leaves nothing out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llamad
import pytest
from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--quiet", "-d", str(out / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, "-c", "docs", ".", str(out / "html")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert built.returncode == 0, built.stderr
    return out / "html"


def test_every_public_name_has_its_entry(site: Path) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    entries = {name for kind, named in inventory.data.items() if kind.startswith("py:") for name in named}
    assert {f"llamad.{name}" for name in llamad.__all__} <= entries


def test_docstrings_are_read_as_they_are_meant(site: Path) -> None:
    for page in site.glob("docs/reference/*.html"):
        text = page.read_text()
        # What a property's docstring has before a colon is taken for its type.
        assert '>Type<span class="colon">' not in text, page
        assert "system-message" not in text, page


def test_the_first_page_leads_everywhere(site: Path) -> None:
    first = (site / "docs" / "index.html").read_text()
    pages = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "docs").glob("*.md")}
    pages |= {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "docs").glob("notebooks/*.ipynb")}
    pages |= {Path("README"), Path("CHANGELOG"), Path("CONTRIBUTING"), Path("benchmarks/RESULTS")}
    for page in pages - {Path("docs/index")}:
        assert f'href="{os.path.relpath(page, "docs")}.html' in first, page
    assert 'url=docs/index.html"' in (site / "index.html").read_text()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        for loads in (
            '<script src="http',
            '<link rel="stylesheet" type="text/css" href="http',
            '<img src="http',
        ):
            assert loads not in text, page
