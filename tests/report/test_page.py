"""The page of a run: whole, escaped, without anything that is loaded or run; and without TensorFlow."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.report.course import course
from mtkit.report.good import good
from mtkit.report.kept import KeptRun
from mtkit.report.numbers import MINUS
from mtkit.report.page import SECTIONS, page, write_report
from mtkit.report.recommended import picked

EVIL = '</td><script>alert("x")</script><img src=x onerror=alert(1)>$x_1$'


_MADE: list[str] = []
_VOID = ("meta", "br", "img", "link", "input", "use")


class Page(HTMLParser):
    """What tests ask of a page: headings, places, links, figures, and whether elements close."""

    def __init__(self, text):
        super().__init__()
        self.names, self.open, self.ids, self.links, self.headings, self.figures = set(), [], [], [], [], []
        self.attributes = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names.add(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg":
            self.figures.append(given)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += attrs
        if (found := dict(attrs).get("id")) is not None:
            self.ids.append(found)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def made(clean):
    """The text of the page of a run without faults, made once."""
    if not _MADE:
        _MADE.append(page(KeptRun(clean.write())))
    return _MADE[0]


def test_the_page_is_whole_and_can_be_walked(made):
    found = Page(made)
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert {"html", "header", "nav", "main", "footer", "title", "table", "caption", "svg", "figcaption"} <= found.names
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(found.headings, found.headings[1:], strict=False))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert {"checks", *SECTIONS} <= set(found.ids)
    assert all(figure["role"] == "img" and len(figure["aria-label"]) > 30 for figure in found.figures)
    assert len(found.figures) > 15


def test_findings_lead_to_places_that_there_are(clean):
    clean.metrics["warnings"] = ["valid: the weights did not move"]
    clean.said["columns"]["gift"]["context.channel"] = 0.995
    clean.scores["next"] = [0.4, 0.58, 0.55, 0.5, 0.45, 0.42]
    clean.metrics["left_out"]["test"]["interactions"] = {"eval: item not in the catalog": 200}
    found = Page(page(KeptRun(clean.write())))
    links = {link.removeprefix("#") for link in found.links}
    assert {"columns-gift", "course-next", "left-out"} <= links <= set(found.ids)


def test_nothing_is_loaded_and_nothing_runs(made):
    found = Page(made)
    assert not found.names & {"script", "link", "img", "iframe", "object", "image"}
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all(value.startswith("#") for name, value in found.attributes if name in ("href", "src", "xlink:href"))
    assert "url(http" not in made
    assert "@import" not in made
    assert "default-src &#x27;none&#x27;" in made
    assert len(made) < 3_000_000


def test_texts_of_data_are_texts(clean):
    clean.catalog["text"] = [None, *(f"{EVIL} {i}" for i in range(1, 121))]
    clean.catalog["family"] = [None, *(f"{EVIL}{i % 3}" for i in range(1, 121))]
    clean.said["predictions"]["department"]["classes"] = [EVIL, "b", "c", "d"]
    clean.data["leaks"] = [{"level": "warning", "where": EVIL, "what": EVIL, "count": 1, "advice": EVIL}]
    clean.metrics["warnings"] = [f"valid: {EVIL}"]
    clean.metrics["test"][f"gift/user.town={EVIL}/auc"] = 0.7
    clean.said["columns"]["gift"][f"context.{EVIL}"] = 0.6
    made = page(KeptRun(clean.write()))
    found = Page(made)
    assert not found.open
    assert not found.names & {"script", "img"}
    assert made.count("&lt;script&gt;") > 20


def test_colors_follow_the_setting_and_numbers_stay(made):
    assert "prefers-color-scheme: dark" in made
    drawn = "".join(re.findall(r"<svg.*?</svg>", made, re.DOTALL))
    assert "var(--s1)" in drawn
    assert not re.findall(r"#[0-9a-f]{6}", drawn)
    assert "<image" not in drawn
    figures = re.search(r"Verdicts by task.*?</table>", made, re.DOTALL).group()
    assert "0.5800" in figures
    assert "+0.1700" in figures


def test_a_task_report_is_shown(clean):
    one = {"task": "gift", "verdict": "train apart", "told": "worse", "by": ["next"], "evidence": ["next harms it"]}
    clean.tasks = {
        "tasks": ["next", "gift"],
        "verdicts": [one],
        "affinity": {"matrix": [[0, -0.2], [None, 0]]},
        "gradients": [{"tasks": ["next", "gift"], "at": "cut", "cosine": -0.3, "conflicts": 0.8}],
        "gates": {"experts": {"tasks": ["next", "gift"], "experts": ["0", "1"], "shares": [[0.2, 0.8], [0.5, 0.5]]}},
    }
    clean.write()
    made = course(clean.kept())
    for text in ("next harms it", f"{MINUS}20.0%", "next and gift", "0.8000", "which experts the gate"):
        assert text in made


def test_several_runs_have_a_page_of_their_means(clean):
    clean.seeds = {"next/ndcg@3": [0.57, 0.58, 0.59]}
    clean.write()
    made = good(clean.kept())
    assert "0.5800 ± 0.0100" in made
    assert "seed-3" in made


def test_less_kept_is_less_shown(clean):
    clean.write()
    (clean.path / "evidence" / "test.json").unlink()
    assert "Typical" in page(KeptRun(clean.path))
    shutil.rmtree(clean.path / "evidence")
    (clean.path / "history.csv").unlink()
    (clean.path / "scores.json").unlink()
    made = page(KeptRun(clean.path))
    assert "Nothing was trained" in made
    assert "so there are no lists" in made
    (clean.path / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"not finished: there is no metrics\.json; continue it with --resume"):
        KeptRun(clean.path)
    with pytest.raises(RunError, match="there is no such directory"):
        KeptRun(clean.path / "nowhere")


def test_damaged_files_are_named(clean):
    clean.write()
    (clean.path / "evidence" / "lists-next.parquet").write_bytes(b"no table")
    with pytest.raises(RunError, match=r"lists-next\.parquet: is damaged: .*; remove it, and the report does without"):
        page(KeptRun(clean.path))


@pytest.mark.parametrize(
    "name", ["evidence/lists-next.parquet", "evidence/predictions-gift.parquet", "entities/test-item.parquet"]
)
def test_tables_of_something_else_are_refused(clean, name):
    pq.write_table(pa.table({"other": [1, 2]}), clean.write() / name)
    with pytest.raises(RunError, match=rf"{Path(name).name}: is damaged"):
        page(KeptRun(clean.path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("evidence/test.json", '{"predictions": [1]}'),
        ("evidence/data.json", '{"leaks": {"where": 1}}'),
        ("scores.json", "[1, 2]"),
        ("history.csv", "a,b\n1,2"),
    ],
)
def test_texts_of_something_else_are_refused(clean, name, text):
    (clean.write() / name).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=rf"{Path(name).name}: is damaged"):
        page(KeptRun(clean.path))


def test_a_task_report_of_something_else_is_refused(clean):
    clean.tasks = {"tasks": ["next"]}
    clean.write()
    with pytest.raises(RunError, match=r"tasks\.json: is damaged: .*; give the tasks\.json of mtkit tasks"):
        page(clean.kept())


def test_the_command_writes_it_whole(clean):
    path = clean.write()
    done = CliRunner().invoke(main, ["report", str(path)])
    assert done.exit_code == 0, done.output
    assert done.output == f"report: {path / 'report.html'}\n"
    assert (path / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    unknown = CliRunner().invoke(main, ["report", str(path), "--ignore", "R999"])
    assert unknown.exit_code == 2
    assert "no check has the code 'R999'" in unknown.output


def test_it_is_made_without_tensorflow(clean):
    path = clean.write()
    code = (
        "import sys; from pathlib import Path; from mtkit.report.page import write_report; "
        f"write_report(Path({str(path)!r})); assert not {{'tensorflow', 'tf_keras'}} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_users_are_picked_by_a_stated_rule(clean):
    clean.lists["past_size"] = np.arange(len(clean.lists)) + 1
    clean.lists["hits"] = [np.array([i != 7]) for i in range(len(clean.lists))]
    rules = {who: row for who, _, row in picked(clean.lists)}
    assert rules == {"Typical": 99, "Active": 199, "Cold": 0, "Worst": 7}
    clean.lists["hits"] = [np.array([True])] * len(clean.lists)
    assert "Worst" not in {who for who, _, _ in picked(clean.lists)}


def chromium():
    found = os.environ.get("MTKIT_CHROMIUM") or shutil.which("chromium")
    return found if found and Path(found).exists() else None


@pytest.mark.slow
@pytest.mark.skipif(not chromium(), reason="no Chromium: set MTKIT_CHROMIUM, or put chromium on the path")
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_a_browser_shows_it_without_a_word(clean, tmp_path, width):
    """No messages of the console, no requests, nothing wider than the screen."""
    path = write_report(clean.write())
    # The page may not run scripts; a frame around it may, and sees how wide it is.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<!doctype html><body style='margin:0'><iframe id=f src='{path.as_uri()}' style='width:{width}px;height:900px;border:0'>"
        "</iframe><script>onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=[d.scrollWidth,d.clientWidth,f.contentWindow.performance.getEntriesByType('resource').length].join(' ')"
        "}</script>",
        encoding="utf-8",
    )
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
        "--dump-dom",
    )
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [chromium(), *options, profile, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    wide, client, requests = map(int, re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout).groups())
    assert wide == client <= width
    assert requests == 0
    assert "CONSOLE" not in done.stderr
