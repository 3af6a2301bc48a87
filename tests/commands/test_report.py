"""Tables, curves, report.md and report.html from the files of a run, and of several together."""

import base64
import html.parser
import json
import re
import shlex
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import METHODS, finished_run, ran, results_of, snapshot
from parsing import parse
from sentences import refused

from skt_tf.configuration import Config
from skt_tf.reports import pooled_runs, report, tables
from skt_tf.training.history import read_metrics
from skt_tf.utils.errors import UserError


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


def test_the_page_is_one_well_formed_file_that_needs_no_network_and_says_what_the_markdown_says():
    folder = finished_run().folder
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
    least = [int(width) for width in re.findall(r"min-width: (\d+)px", " ".join(found.styles))]
    assert len(least) == 3
    assert max(least[:2]) <= 360
    shown = " ".join(found.texts)
    for cell in (cell for row in tables.summary(results_of(folder)).rows for cell in row):
        assert cell in shown
    plain = (folder / "report.md").read_text(encoding="utf-8")
    words = re.findall(r"[\w.+-]+", re.sub(r"\]\(\S+\)", "", plain))
    assert {word for word in words if word not in shown} <= {"---"}


def test_the_command_of_the_report_makes_the_same_configuration():
    page = Page((finished_run().folder / "report.html").read_text(encoding="utf-8"))
    command = next(text for text in page.texts if text.startswith("python -m skt_tf.main "))
    config = results_of(finished_run().folder)["config"]
    assert parse(*shlex.split(command)[3:]).as_dict() == config


def test_the_command_of_the_report_finds_the_images(tmp_path):
    folder, results = changed(tmp_path / "run")
    results["data_dir"] = "my images"
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    report.run(Config(job="report", output_dir=str(folder)))
    (line,) = re.findall("python -m skt_tf.main .*", (folder / "report.md").read_text("utf-8"))
    assert parse(*shlex.split(line)[3:]).data_dir == "my images"


def changed(folder, **config):
    """A copy of the finished run with other accuracies, in `folder`."""
    shutil.copytree(finished_run().folder, folder)
    results = results_of(folder)
    results["config"] |= config
    random = np.random.default_rng(results["config"]["seed"])
    for entry in results["methods"].values():
        entry.pop("weights", None)  # Of the networks that were trained, which are not read here.
        entry["accuracies"] = random.uniform(0.5, 0.9, results["config"]["nets"]).tolist()
        entry["mean"] = float(np.mean(entry["accuracies"]))
        entry["ensemble"] = float(random.uniform(0.5, 0.9))
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder, results


@pytest.fixture
def runs(tmp_path):
    """Three runs of two nets, and their results."""
    return [changed(tmp_path / f"run{k}", seed=10 * k) for k in range(3)]


def test_nets_are_pooled_in_the_order_of_the_runs(runs):
    folders, results = zip(*runs)
    assert pooled_runs.read([folders[0]]).results == results[0]
    pool = pooled_runs.read(folders, Config())
    assert pool.results["config"]["nets"] == 6
    assert pool.results["config"]["seed"] == [0, 10, 20]
    for name, entry in pool.results["methods"].items():
        own = [one["methods"][name] for one in results]
        assert entry["accuracies"] == [share for one in own for share in one["accuracies"]]
        # Work is added, and ensembles are averaged.
        assert entry["iterations"] == sum(one["iterations"] for one in own)
        assert entry["seconds"] == pytest.approx(sum(one["seconds"] for one in own))
        assert entry["ensemble"] == pytest.approx(np.mean([one["ensemble"] for one in own]))
    # Statistics are those of all nets, and curves their means.
    row = dict(zip(tables.nets(pool.results).header, tables.nets(pool.results).rows[0]))
    shares = 100 * np.array(pool.results["methods"]["baseline"]["accuracies"])
    assert row["mean %"] == f"{shares.mean():.2f}"
    nets = [read_metrics(f / f"kd/net{net}/metrics.csv") for f in folders for net in range(2)]
    for number, row in enumerate(pool.rows("kd")):
        assert row["loss"] == pytest.approx(np.mean([rows[number]["loss"] for rows in nets]))


def test_images_that_were_read_from_the_disk_are_taken_for_those_in_memory(runs, capsys):
    folders, found = [folder for folder, _ in runs[:2]], {}
    for data in (("0a", "0b"), ("files-0a", "files-0b"), ("0a", "files-0a"), ("0a", "0a")):
        for digest, (folder, results) in zip(data, runs):
            (folder / "results.json").write_text(json.dumps({**results, "data": digest}))
        try:
            pooled_runs.read(folders, Config())
            found[data] = "cannot be compared" in capsys.readouterr().err
        except UserError as error:
            found[data] = "they differ in the images or labels" in str(error) and "refused"
    assert list(found.values()) == ["refused", "refused", True, False]


def test_runs_of_one_net_have_no_ensemble_together(tmp_path):
    folders = []
    for seed in range(3):
        folder, results = changed(tmp_path / f"one{seed}", seed=seed, nets=1)
        for entry in results["methods"].values():
            entry["ensemble"] = entry["mean"]
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
        folders.append(folder)
    pooled = pooled_runs.read(folders, Config()).results
    assert [entry["ensemble"] for entry in pooled["methods"].values()] == [None] * len(METHODS)
    table = tables.nets(pooled)
    assert {row[table.header.index("ensemble %")] for row in table.rows} == {"-"}


def test_runs_that_differ_are_refused_with_what_differs(runs, tmp_path):
    other, results = changed(tmp_path / "other", seed=50, width=8, temperature=2.0)
    with refused(r"temperature \(3.0 and 2.0\), width \(4 and 8\)$"):
        pooled_runs.read([runs[0][0], other], Config())
    results = {**results, "config": {**runs[0][1]["config"], "seed": 50}, "data": "another"}
    (other / "results.json").write_text(json.dumps(results), "utf-8")
    with refused(r"they differ in the images or labels of 'digits'$"):
        pooled_runs.read([runs[0][0], other], Config())


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_runs_with_other_networks_of_ones_own_are_refused(side, tmp_path):
    def run(seed, digest):
        given = {side: f"{digest}.keras"}
        folder, results = changed(tmp_path / f"{seed}_{digest}", seed=seed, **given)
        results["student"] = digest if side == "student" else "same"
        if side == "teacher":
            results["teacher"] |= {"source": f"{digest}.keras", "weights": digest}
        (folder / "results.json").write_text(json.dumps(results), "utf-8")
        return folder

    first = run(0, "one")
    with refused(rf"differ in {side} \(one.keras and two.keras, which hold other networks\)$"):
        pooled_runs.read([first, run(50, "two")], Config())
    assert len(pooled_runs.read([first, run(50, "one")], Config()).each) == 2


def test_nets_of_one_seed_are_not_counted_twice(runs, tmp_path):
    for seed in (0, 1):
        other, _ = changed(tmp_path / f"other{seed}", seed=seed)
        with refused("nets of the same seed"):
            pooled_runs.read([runs[0][0], other], Config())
    # Of how far seeds must lie, the run of more nets decides.
    other, _ = changed(tmp_path / "other", seed=7, nets=5)
    for pair in ([runs[1][0], other], [other, runs[1][0]]):
        with refused(r"differ by 5 or more, as many as .*other has nets$"):
            pooled_runs.read(pair, Config())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "damaged"),
        ("iteration,stage,step\n1,task,x\n", "damaged"),
        ("step,loss\n1,2\n", "damaged"),
        ("iteration,stage,step,loss\n1,task,1,2.0\n", "does not log the same"),
    ],
)
def test_a_damaged_log_is_refused(content, said, runs):
    (runs[0][0] / "kd/net1/metrics.csv").write_text(content)
    with refused(f"kd/net1/metrics.csv .*{said}"):
        report.run(Config(job="report", output_dir=str(runs[0][0])))


def test_the_command_makes_one_report_of_several_runs(runs, tmp_path):
    before = snapshot(tmp_path)
    names = ",".join(folder.name for folder, _ in runs)
    ran("--job=report", f"--runs={names}", "--output_dir=pooled", cwd=tmp_path)
    after = snapshot(tmp_path)
    assert {path: after[path] for path in before} == before
    made = {path for path in after if path not in before}
    assert {path.removeprefix("pooled/") for path in made} >= {"report.html", "report.md"}
    report = (tmp_path / "pooled/report.md").read_text("utf-8")
    assert "6 nets a method" in report
    assert "over 6 pairs of nets" in report
    assert "the mean of the runs' ensembles" in report
    for seed in (10, 20):
        assert f"--seed={seed}" in report


@pytest.mark.parametrize(
    ("together", "output", "said"),
    [
        (("run0", "gone"), "pooled", "gone/results.json does not exist"),
        (("run0", "run1"), "run0", "run0 is the folder of other work, as results.json"),
        (("run0", "run1"), "search", "search is the folder of other work, as search.json"),
        (("run0", "run1"), "run0/results.json", "results.json is a file"),
    ],
)
def test_what_cannot_be_reported_is_refused(together, output, said, runs, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search/search.json").touch()
    before = snapshot(tmp_path)
    folders = tuple(str(tmp_path / name) for name in together)
    with refused(said):
        report.run(Config(job="report", runs=folders, output_dir=str(tmp_path / output)))
    assert snapshot(tmp_path) == before
