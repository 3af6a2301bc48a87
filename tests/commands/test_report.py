"""Tables, curves, report.md and report.html from the files of runs."""

import base64
import html.parser
import re
import shlex
import shutil
from xml.etree import ElementTree

from command_line import finished_run, ran, results_of
from parsing import parse

from skt_tf.reports import tables


def test_a_report_is_made_again_byte_by_byte_from_the_folder(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished_run().folder, folder)
    made = ("report.md", "report.html", "accuracy.png", "flows.png", "matrices.png")
    before = {name: (folder / name).read_bytes() for name in made}
    kept = (folder / "results.json").read_bytes()
    for path in [*folder.rglob("*.keras"), *(folder / name for name in made)]:
        path.unlink()
    done = ran("--job=report", f"--output_dir={folder}", cwd=tmp_path)
    assert {name: (folder / name).read_bytes() for name in made} == before
    assert (folder / "results.json").read_bytes() == kept
    assert str(folder / "report.html") in done.stdout


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.alts, self.texts, self.styles = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        self.alts += [attributes["alt"]] if "alt" in attributes else []
        self.styles += [attributes["style"]] if "style" in attributes else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_one_well_formed_file_that_needs_no_network(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished_run().folder, folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert not found.open
    assert found.alts == [
        "Test accuracy against iterations",
        "Loss of each flow during transfer",
        "FSP matrices before and after transfer",
    ]
    for source in found.sources:
        kind, content = source.split(";base64,")
        assert kind == "data:image/svg+xml"
        ElementTree.fromstring(base64.b64decode(content))
    assert "url(" not in text
    assert "@import" not in text
    assert "<script" not in text
    assert len(text) < 2_000_000
    # The curves are whole on a telephone of 400 pixels, the page's margins left out.
    least = [int(re.search(r"min-width: (\d+)px", style)[1]) for style in found.styles]
    assert max(least[:2]) <= 360
    results = results_of(folder)
    shown = " ".join(found.texts)
    for cell in (cell for row in tables.summary(results).rows for cell in row):
        assert cell in shown


def test_the_page_and_the_markdown_say_the_same(tmp_path):
    folder = finished_run().folder
    shown = " ".join(Page((folder / "report.html").read_text(encoding="utf-8")).texts)
    plain = (folder / "report.md").read_text(encoding="utf-8")
    words = re.findall(r"[\w.+-]+", re.sub(r"\]\(\S+\)", "", plain))
    missing = {word for word in words if word not in shown} - {"---"}
    assert missing == set()


def test_the_command_of_the_report_makes_the_same_configuration():
    page = Page((finished_run().folder / "report.html").read_text(encoding="utf-8"))
    command = next(text for text in page.texts if text.startswith("python -m skt_tf.main "))
    config = results_of(finished_run().folder)["config"]
    assert parse(*shlex.split(command)[3:]).as_dict() == config
