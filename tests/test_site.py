"""What `make site` lays out: every page, links that hold, and the recipe reference in parts; MkDocs itself is not needed."""

import importlib.util
import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("markdown")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The script, which writes below a directory of the test."""
    specification = importlib.util.spec_from_file_location("site_script", ROOT / "docs/site.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "PAGES", tmp_path / "pages")
    return module


def pages_of(nav):
    for item in nav if isinstance(nav, list) else nav.values():
        if isinstance(item, str):
            yield item
        else:
            yield from pages_of(item)


def test_every_page_is_in_the_navigation_once(site):
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = list(pages_of(nav))
    assert sorted(named) == sorted(["RECIPE", *(str(path) for path in site.sources() if path != site.RECIPE)])


def test_links_hold_where_pages_lie_now(site):
    reference = site.laid_out()
    assert not site.LOST
    links = 0
    for page in site.PAGES.rglob("*.md"):
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                links += 1
                assert (page.parent / target).exists(), f"{page}: {target}"
    assert links > 100
    assert {"Header", "[task.NAME]", "[evaluate]", "The program"} <= {title for one in reference for title in one}


def test_a_link_to_a_lost_heading_is_told(site):
    site._write(
        Path("docs/a.md"), "[x](recipe.md#no-such-part) [y](#here)", Path("docs/how_to.md"), {"taskname": "taskname"}
    )
    assert site.LOST == ["docs/how_to.md: no heading of docs/recipe.md has the anchor #no-such-part"]


def test_bars_in_code_are_no_ends_of_cells(site):
    text = "| `a` | `str \\| None` |\n```\n`x \\| y`\n```\n"
    assert site._barred("`a` `str \\| <None>`") == "`a` <code>str &#124; &lt;None&gt;</code>"
    site._write(Path("a.md"), text, Path("README.md"), {})
    assert (site.PAGES / "a.md").read_text() == "| `a` | <code>str &#124; None</code> |\n```\n`x \\| y`\n```\n"


def test_the_reference_is_divided_and_nothing_is_lost(site):
    text = (ROOT / "docs/recipe.md").read_text(encoding="utf-8")
    pages = site.sections(text)
    assert [len(page) for page in site.sections("# a\n\nb\n").values()] == [7]
    assert sum(page.count("\n") for page in pages.values()) == text.count("\n")
    inside = "# a\n\n## b\n\n```\n## no heading\n```\n\n### c\n"
    assert site.sections(inside) == {"index": "# a\n\n", "b": "# b\n\n```\n## no heading\n```\n\n## c\n"}
    assert site.anchors(pages)["calibration"] == "taskname"
