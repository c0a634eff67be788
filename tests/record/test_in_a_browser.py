"""Both papers in a real browser, on both paper sizes: nothing cut, nothing overlapping, no word lost or obeyed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from paper import Reader, hold

from vestry.ceremony import reading, rehearsal, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.record.protocol import protocol
from vestry.record.record import record

CHROMIUM = shutil.which("chromium")
SIZES = {"A4": (595, 842), "Letter": (612, 792)}
MARGIN = 14 / 25.4 * 72
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
XHTML = "{http://www.w3.org/1999/xhtml}"
# Every piece of text as the browser lays it out, and what looks wrong with it.
MEASURE = """<script>
const width = document.documentElement.clientWidth, boxes = [], wrong = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const node = walk.currentNode;
  if (!node.textContent.trim() || node.parentElement.closest("script")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const r of range.getClientRects()) {
    if (r.width > 0.5) boxes.push({node, l: r.left, r: r.right, t: r.top + 2, b: r.bottom - 2});
    if (r.left < -0.5 || r.right > width + 0.5) wrong.push("out: " + node.textContent.slice(0, 60));
  }
  for (let e = node.parentElement; e && e !== document.body; e = e.parentElement) {
    const cell = e.getBoundingClientRect();
    const inside = range.getBoundingClientRect();
    if (e.matches("td, th") && (inside.right > cell.right + 1 || inside.bottom > cell.bottom + 1))
      wrong.push("out of its cell: " + node.textContent.slice(0, 60));
  }
}
boxes.sort((a, b) => a.t - b.t);
for (let i = 0; i < boxes.length; i++)
  for (let j = i + 1; j < boxes.length && boxes[j].t < boxes[i].b; j++)
    if (boxes[i].node !== boxes[j].node && boxes[i].l < boxes[j].r - 1 && boxes[j].l < boxes[i].r - 1)
      wrong.push("overlap: " + boxes[i].node.textContent.slice(0, 40) + " | " + boxes[j].node.textContent.slice(0, 40));
document.title = JSON.stringify({count: boxes.length, wrong: wrong.slice(0, 5000), alerts: window.alerts || 0});
</script>"""


@dataclass(frozen=True)
class Word:
    """A word in the PDF: its page, and its box in points."""

    page: int
    text: str
    left: float
    top: float
    right: float
    bottom: float


def tool(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    return ran.stdout.decode()


def browser(tmp_path: Path, *arguments: str) -> str:
    assert CHROMIUM is not None
    return tool(
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={tmp_path / 'profile'}",
        *arguments,
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, str]:
    """The papers to look at: hostile ones, and those of the shipped script."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed: apt-get install poppler-utils")
    folder = hold(tmp_path_factory.mktemp("b") / "b", trouble=True)
    lines = list(replay(transcript.read(folder / "transcript.jsonl")))
    assert lines[-1].state is not None
    return {
        "record": record(lines, compare_files(lines[-1].state, folder)),
        "protocol": protocol(*reading.load(folder / rehearsal.SCRIPT)),
        "shipped": protocol(*reading.load(repository / "ceremony-scripts" / "pypi-root.toml")),
    }


def printed(page: str, size: str, tmp_path: Path) -> Path:
    """The page as PDF on one size of paper; a copy asks for that size, since a printer can't be chosen here."""
    source, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    assert "@page { " in page
    source.write_text(POLICY.sub("", page.replace("@page { ", f"@page {{ size: {size}; ", 1)))
    browser(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", source.as_uri())
    return pdf


def words_of(pdf: Path) -> tuple[list[Word], list[tuple[float, float]]]:
    tree = ElementTree.fromstring(tool("pdftotext", "-bbox", str(pdf), "-"))
    found, sizes = [], []
    for number, page in enumerate(tree.iter(f"{XHTML}page")):
        sizes.append((float(page.get("width", 0)), float(page.get("height", 0))))
        for word in page.iter(f"{XHTML}word"):
            box = [float(word.get(name, 0)) for name in ("xMin", "yMin", "xMax", "yMax")]
            found.append(Word(number, word.text or "", *box))
    return found, sizes


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", ["record", "protocol", "shipped"])
def test_on_paper(pages: dict[str, str], which: str, size: str, tmp_path: Path) -> None:
    """A digest that the edge of the paper cuts, or a row that is lost between pages, is worse than none."""
    pdf = printed(pages[which], size, tmp_path)
    words, sheets = words_of(pdf)
    width, height = SIZES[size]
    assert all((round(w), round(h)) == (width, height) for w, h in sheets)
    assert len(sheets) > 5
    for word in words:
        assert word.left >= MARGIN - 1, word
        assert word.right <= width - MARGIN + 1, word
        assert word.bottom <= height, word
    for number in range(len(sheets)):
        here = sorted((w for w in words if w.page == number), key=lambda w: w.top)
        for place, one in enumerate(here):
            for other in here[place + 1 :]:
                if other.top > one.bottom - 2.5:
                    break
                assert other.left >= one.right - 1 or one.left >= other.right - 1, (one, other)
        sheet = " ".join(w.text for w in words if w.page == number)
        assert ("REHEARSAL" in sheet) == (which != "shipped"), number
        assert f"page {number + 1} of {len(sheets)}" in sheet
    # Every word of the page, as often as the page has it; one that is too long for its line may be broken.
    raw = "".join(tool("pdftotext", "-raw", str(pdf), "-").split())
    spoken = Counter(w for piece in Reader(pages[which]).pieces for w in piece.split() if len(w) > 2)
    assert len(spoken) > 100
    for word, times in spoken.items():
        assert raw.count(word) >= times, word


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", ["record", "protocol", "shipped"])
def test_as_laid_out(pages: dict[str, str], which: str, size: str, tmp_path: Path) -> None:
    """Measured by the browser itself, at the width of each paper: no text beside its cell, none on another."""
    across = round((SIZES[size][0] - 2 * MARGIN) / 72 * 96)
    shown = pages[which].replace("@media screen { body { padding: 4mm } }", "")
    assert shown != pages[which]
    copy = POLICY.sub("<script>window.alert = () => { window.alerts = 1 + (window.alerts || 0) }</script>", shown)
    source = tmp_path / "page.html"
    source.write_text(copy.replace("</body>", MEASURE + "</body>"))
    # Headless windows are at least 500 pixels wide; paper is wider.
    dom = browser(tmp_path, f"--window-size={across},1000", "--hide-scrollbars", "--dump-dom", source.as_uri())
    found = re.search(r"<title>(\{.*?\})</title>", dom)
    assert found is not None
    result = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert result["wrong"] == []
    assert result["count"] > 300
    assert result["alerts"] == 0


def test_the_measuring_measures(pages: dict[str, str], tmp_path: Path) -> None:
    """A measure that finds nothing wrong with anything would prove nothing."""
    spoilt = POLICY.sub("", pages["shipped"]).replace("overflow-wrap: anywhere", "white-space: nowrap")
    spoilt = spoilt.replace("p { margin: 0 0 1.5mm;", "p { margin: 0 0 -5mm;")
    source = tmp_path / "page.html"
    source.write_text(spoilt.replace("</body>", MEASURE + "</body>"))
    dom = browser(tmp_path, "--window-size=700,1000", "--hide-scrollbars", "--dump-dom", source.as_uri())
    found = re.search(r"<title>(.*?)</title>", dom)
    assert found is not None
    assert "out: " in found[1]
    assert "overlap: " in found[1]


def test_the_policy_lets_the_style_in_and_nothing_else(pages: dict[str, str], tmp_path: Path) -> None:
    """A digest in the policy that is not that of the style sheet would leave a page without any style, cut everywhere;
    one that lets more in would let a script run."""
    probe = "<p class='word' id='probe'>x</p><script>document.title = 'obeyed'</script>"
    probe += "<img src=x onerror=\"document.title='obeyed'\"><style>h1 { display: none }</style>"
    source = tmp_path / "page.html"
    source.write_text(pages["shipped"].replace("</body>", probe + "</body>"))
    dom = browser(tmp_path, "--dump-dom", source.as_uri())
    assert "<title>Protocol: PyPI root key ceremony</title>" in dom
    source.write_text(pages["shipped"])
    browser(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'p.pdf'}", source.as_uri())
    words, sheets = words_of(tmp_path / "p.pdf")
    # The number of the page comes from the style sheet.
    assert f"page 1 of {len(sheets)}" in " ".join(w.text for w in words if w.page == 0)
