"""Every relative link in the documents leads somewhere, and every document is reachable from the README."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "benchmarks/README.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def targets(page):
    """The files that a page links to, without anchors and addresses of the web."""
    links = (link.partition("#")[0] for link in LINK.findall(page.read_text()))
    return [(page.parent / link).resolve() for link in links if link and "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_of_this_repository(page):
    assert [str(target) for target in targets(page) if not target.exists()] == []


def test_every_page_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            pending += targets(page)
        elif page.is_dir():
            pending += page.glob("*.md")
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []
