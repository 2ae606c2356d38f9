"""The docs as they are served: pages, links, search, the files for machines, and a wheel."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag

import pytest

from bursa.web.docs import book as docs_book
from bursa.web.docs.made import Told
from bursa.web.docs.search import find, snippet
from bursa.web.docs.text import Entry, rendered
from tests.web.handbook import Site, read

TOP = Path(__file__).parents[2]
OURS = "http://127.0.0.1:18090"


# -- pages -----------------------------------------------------------------------------------------


def test_pages_are_under_the_policy_and_in_the_readers_look(site: Site) -> None:
    answer = site.get("/docs/concepts", Cookie="bursa_display=theme=light")
    assert 'data-theme="light"' in answer.text
    assert 'aria-current="page">Docs<' in answer.text
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", answer.text)
    assert "{{" not in answer.text


def test_every_file_of_the_docs_is_a_page(site: Site) -> None:
    names = site.names()
    assert {path.stem for path in (TOP / "docs").glob("*.md")} <= set(names)
    assert names[0] == "index"
    for name in names:
        page = site.page(name)
        assert page.sections[0].level == 1, name
        assert [one.level for one in page.sections].count(1) == 1, name


def test_no_link_is_dead(site: Site) -> None:
    """Every link and anchor inside the docs, and every page of the program that they name."""
    known: dict[str, set[str]] = {}
    waiting, dead = [("/docs", "/docs")], []
    while waiting:
        path, whence = waiting.pop()
        if path in known:
            continue
        answer = site.get(path)
        reading = read(answer.text) if path.startswith("/docs") else None
        known[path] = reading.anchors if reading else set()
        if answer.status != 200:
            dead.append(f"{path} on {whence}: {answer.status}")
        if reading is not None:
            links = (urldefrag(link).url for link in (*reading.links, *reading.tree))
            waiting += [(link, path) for link in links if link.startswith("/")]
    for path in list(known):
        if path.startswith("/docs"):
            reading = read(site.get(path).text)
            for link in (*reading.links, *reading.tree):
                target, anchor = urldefrag(link)
                if anchor and unquote(anchor) not in known.get(target or path, {anchor}):
                    dead.append(f"{link} on {path}: no such anchor")
    assert len(known) > 20
    assert not dead


def test_nothing_comes_from_elsewhere(site: Site) -> None:
    for name in site.names():
        html = site.get("/docs" if name == "index" else f"/docs/{name}").text
        loaded = re.findall(r'\s(?:src|href)="([^"]+)"', html)
        outside = [url for url in loaded if re.match(r"[a-z]+:|//", url)]
        assert not [url for url in outside if f'src="{url}"' in html], name


def test_examples_bear_the_readers_address(site: Site) -> None:
    for name in ("quick-start", "api-data"):
        assert OURS not in site.get(f"/docs/{name}").text
        assert site.url in site.get(f"/docs/{name}").text
    assert site.url in site.get("/docs/quick-start.md").text


def test_examples_of_the_api_work(site: Site) -> None:
    """Each is asked of the running server; what a small market lacks may be unknown."""
    asked = 0
    for name in site.names():
        for section in site.page(name).sections if name.startswith("api-") else ():
            for url in re.findall(rf"curl '{re.escape(site.url)}([^']+)'", "".join(section.code)):
                if "live" in url:
                    continue
                answer = site.get(url)
                asked += 1
                # The day of an example may be the present one.
                absent = answer.status == 404 and re.search('"(unknown_|not_yet)', answer.text)
                assert absent or (answer.status == 200 and '"s":"error"' not in answer.text), url
    assert asked > 15


def test_pictures_are_served_and_nothing_beside_the_folder(site: Site) -> None:
    assert site.get("/docs/chart.png").headers["content-type"] == "image/png"
    for path in ("..%2fREADME.md", "%2e%2e/chart.png", "none.png", "../README.md", "a/b.svg"):
        assert site.get(f"/docs/{path}").status == 404


@pytest.mark.parametrize("name", ["nothing-here", "configuraton", "a/b/c", "<script>x"])
def test_an_unknown_page_offers_the_search(site: Site, name: str) -> None:
    answer = site.get("/docs/" + quote(name))
    assert answer.status == 404
    assert "There is no such page" in answer.text
    assert 'name="q"' in answer.text
    assert "<script>x" not in answer.text


def test_a_near_name_is_offered(site: Site) -> None:
    assert 'href="/docs/configuration#http.port"' in site.get("/docs/http.port").text


# -- search ----------------------------------------------------------------------------------------

WANTED = [
    ("watermark", "/docs/concepts#watermark"),
    ("rsi_14", "/docs/metrics#rsi-14"),
    ("http.port", "/docs/configuration#http.port"),
    ("bursa replay", "/docs/command-line#bursa-replay"),
    ("RSI_14 ", "/docs/metrics#rsi-14"),
    ("bursa_gaps_total", "/docs/telemetry#bursa_gaps_total"),
    ("end_of_interval", "/docs/stream#end-of-interval"),
    ("/v1/ohlcv/{ticker}", "/docs/api-data#get-v1-ohlcv-ticker"),
    ("known_at", "/docs/tables#known_at"),
    ("journal", "/docs/concepts#journal-and-position"),
    ("disk space", "/docs/operate#disk-space-and-old-data"),
    ("delete old data", "/docs/operate#disk-space-and-old-data"),
    ("backup", "/docs/operate#backup-restart-upgrade"),
    ("error codes", "/docs/api#the-envelope"),
    ("keyboard shortcuts", "/docs/pages#keys"),
]


@pytest.mark.parametrize(("query", "first"), WANTED)
def test_search_finds(site: Site, query: str, first: str) -> None:
    html = site.get("/docs?q=" + quote(query)).text
    found = html[html.index('class="d-found"') :]
    assert re.findall(r'<a href="([^"]+)"', found)[0] == first
    assert "<mark>" in found


def test_a_search_for_nothing_says_so(site: Site) -> None:
    assert "Nothing is found for “qqzzqq”" in site.get("/docs?q=qqzzqq").text
    assert "Nothing is found" in site.get("/docs?q=").text
    long = site.get("/docs?q=" + "x" * 5_000)
    assert long.status == 200 and "x" * 101 not in long.text


def test_a_hostile_query_is_only_text(site: Site) -> None:
    html = site.get("/docs?q=" + quote('"><img src=x onerror=alert(1)> (a+)+$ \\')).text
    assert "<img" not in html.replace('<img src="/docs/', "")


def test_the_index_has_what_search_finds(site: Site) -> None:
    answer = site.get("/docs/index.json")
    rows = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/json"
    places = [row["at"] for row in rows]
    assert len(places) == len(set(places))
    assert {first for _, first in WANTED} <= set(places)


def test_names_and_titles_rank_over_text() -> None:
    def entry(title: str, text: str = "", anchor: str = "x", trail: tuple[str, ...] = ()) -> Entry:
        return Entry("page", anchor, title, trail, text)

    entries = [
        entry("Other", "the port, the port, the port"),
        entry("Import", "nothing"),
        entry("A long title of a port", ""),
        entry("x", "", trail=("Ports",)),
        entry("port", ""),
        entry("Portal", ""),
    ]
    found = [hit.entry.title for hit in find(entries, "port")]
    assert found == ["port", "Portal", "A long title of a port", "Import", "x", "Other"]
    assert not find(entries, "port absent")
    assert not find(entries, "  ")


def test_a_snippet_shows_the_word_in_its_place() -> None:
    text = "far " * 60 + "the watermark stands <b> " + "further " * 60
    shown = snippet(text, ["watermark"])
    assert shown.startswith("… ") and shown.endswith(" …")
    assert "the <mark>watermark</mark> stands &lt;b&gt;" in shown
    assert {*shown.split()[1:3], *shown.split()[-4:-1]} == {"far", "further"}, "words stay whole"


# -- Markdown --------------------------------------------------------------------------------------


def test_markdown_becomes_a_page() -> None:
    page = rendered(
        "p",
        "# T\n\nFirst *words*.\n\n## A b, c!\n\n[x](other.md#y) [i](index.md) <b>raw</b>\n\n"
        "## A b, c\n\n| name | meaning |\n|---|---|\n| `k.v` | what it is |\n| plain | text |\n\n"
        "```sh\nls <x>\n```\n\n```text\na --> b\n```\n",
    )
    assert (page.title, page.lead) == ("T", "First words.")
    assert [heading.anchor for heading in page.headings] == ["t", "a-b-c", "a-b-c-2"]
    assert 'href="/docs/other#y"' in page.html and 'href="/docs"' in page.html
    assert "&lt;b&gt;raw" in page.html
    assert '<tr id="k.v">' in page.html
    assert 'data-copy="code-1"' in page.html and "ls &lt;x&gt;" in page.html
    assert 'data-copy="code-2"' not in page.html  # a drawing
    assert page.html.count("<section") == page.html.count("</section>") == 2
    rows = [(one.title, one.anchor, one.trail, one.text) for one in page.entries]
    assert ("k.v", "k.v", ("T", "A b, c"), "what it is") in rows
    assert rows[0] == ("T", "", (), "First words.")


# -- for machines ----------------------------------------------------------------------------------


def test_llms_txt_lists_every_page(site: Site) -> None:
    answer = site.get("/llms.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("# bursa\n\n> ")
    links = re.findall(rf"\]\({re.escape(site.url)}(/docs/[^)]+\.md)\)", answer.text)
    assert [link[len("/docs/") : -len(".md")] for link in links] == site.names()
    for link in links:
        page = site.get(link)
        assert page.status == 200 and page.text.startswith("# "), link
        assert page.headers["content-type"].startswith("text/markdown")
        assert "{{" not in page.text


def test_without_the_files_the_rest_is_served(tmp_path: Path) -> None:
    """An installation without the pages still answers, and says what is missing."""
    book = docs_book.Book(Told(), {}, tmp_path / "absent")
    assert (book.pages, book.entries, book.contents) == ({}, [], [])


def test_a_wheel_brings_the_pages(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="no hatchling to build a wheel with")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("bursa/web/docs/files/")}
        unpacked = tmp_path / "unpacked"
        wheel.extractall(unpacked)
    wanted = {f"bursa/web/docs/files/{path.name}" for path in (TOP / "docs").iterdir()}
    assert inside == wanted
    said = "from bursa.web.docs import book; print(book.folder())"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r}); {said}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.stdout.strip() == str(unpacked / "bursa" / "web" / "docs" / "files"), found.stderr
