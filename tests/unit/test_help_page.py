"""The page of --help: every flag in one group, and those of a job alone where one is named."""

import collections
import dataclasses
import re

import pytest
from absl import flags
from parsing import parse
from sentences import is_one_sentence

from skt_tf import help_page, main
from skt_tf.configuration import JOBS, Config
from skt_tf.flags import define_flags

FIELDS = {field.name for field in dataclasses.fields(Config)}
OWN = {"flagfile", "undefok", "verbosity", "helpfull"}


def listed(page):
    """The names of the flags on a page, in its order."""
    return re.findall(r"^  --(?:\[no\])?(\w+):", page, re.MULTILINE)


def test_every_flag_is_in_one_group():
    named = collections.Counter(name for names in help_page.GROUPS.values() for name in names)
    assert named == collections.Counter(FIELDS)


def test_the_page_has_all_groups_with_their_most_used_flags_first():
    page = help_page.page(width=80)
    titles = re.findall(r"^(\w.*):$", page, re.MULTILINE)
    assert titles == ["Jobs", *help_page.GROUPS, "Of absl, which reads the flags"]
    assert listed(page) == [*sum(help_page.GROUPS.values(), ()), *help_page._ABSL]
    assert help_page._ABSL.keys() == OWN
    assert re.search(r"^Data:\n  --dataset: .*\n.*\n.*\(default: cifar10\)$", page, re.MULTILINE)
    assert "(default: false)" in page
    assert re.findall(r"^  (\w+) +\w", page, re.MULTILINE) == list(JOBS)
    assert help_page.JOB_MEANINGS.keys() == JOBS.keys()


@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("job", JOBS)
def test_no_line_is_wider_than_the_terminal(job, width):
    assert max(map(len, help_page.page(job, width).splitlines())) <= width
    assert max(map(len, help_page.page(width=80).splitlines())) <= 80


@pytest.mark.parametrize(
    ("job", "read", "unread"),
    [("experiment", {"methods", "nets", "teacher", "tensorboard"}, {"trials", "export", "runs"}),
     ("tune", {"trials", "tune", "teacher"}, {"nets", "labels", "experiment", "compare"}),
     ("export", {"student", "export", "labels", "dataset"}, {"teacher", "seed", "fresh"}),
     ("benchmark", {"compare", "width", "batch_size"}, {"task_steps", "teacher"}),
     ("verify", {"output_dir", "data_dir"}, {"dataset", "runs"}),
     ("report", {"output_dir", "runs"}, {"data_dir", "deterministic"})],
)  # fmt: skip
def test_of_a_job_its_own_flags_are_shown_alone(job, read, unread):
    shown = set(listed(help_page.page(job, 80))) - OWN
    assert read <= shown
    assert not unread & shown
    assert "job" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "runs/<experiment>_<dataset>"), (("--job=tune",), "runs/tune_<dataset>"),
     (("--job=export", "--student=s"), "runs/export"), (("--job=benchmark",), "runs/benchmark"),
     (("--job=report", "--runs=a,b"), "runs/report")],
)  # fmt: skip
def test_the_folder_of_a_job_is_the_one_that_its_page_names(arguments, said):
    config = parse(*arguments)
    (line,) = re.findall("^  --output_dir: .*$", help_page.page(config.job, 200), re.MULTILINE)
    assert f" {said} if not given." in line
    meant = said.replace("<experiment>", "minimization").replace("<dataset>", "cifar10")
    assert config.output_dir == meant


@pytest.fixture
def ask(monkeypatch, capsys):
    """Parses arguments that end the program: (exit code, stdout, stderr)."""
    values = flags.FlagValues()
    define_flags(values)
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)

    def asked(*arguments):
        with pytest.raises(SystemExit) as end:
            main._parse(["skt_tf", *arguments])
        return end.value.code, *capsys.readouterr()

    return asked


def test_help_knows_the_job_wherever_it_is_named(ask, tmp_path):
    (tmp_path / "inner.flags").write_text("--job = export\n")
    (tmp_path / "outer.flags").write_text(f"--seed=3\n--flagfile={tmp_path}/inner.flags\n")
    (tmp_path / "help.flags").write_text("--help\n")
    page = help_page.page("export") + "\n"
    for arguments in (
        ("--job=export", "--help"),
        ("--help", "--job=export"),
        ("-?", "--job", "export", "--trials=many"),
        ("--job=tune", "--helpshort", "--job=export"),
        (f"--flagfile={tmp_path}/outer.flags", "--help"),
        ("--help", f"--flagfile={tmp_path}/outer.flags"),
        (f"--flagfile={tmp_path}/help.flags", "--job=export", "--no_such_flag"),
    ):
        assert ask(*arguments) == (0, page, ""), arguments
    assert ask("--help=true", "--methods=kd") == (0, help_page.page() + "\n", "")


def test_help_on_a_job_that_there_is_not_names_those_that_there_are(ask):
    for arguments, part in (
        (("--help", "--job=exprot"), "--job=exprot is unknown (did you mean export?): expected"),
        (("--job", "--help"), "--job=--help is unknown: expected one of experiment, tune"),
        (("--help", "--job"), "--job= is unknown"),
    ):
        code, out, said = ask(*arguments)
        assert (code, out) == (2, "")
        assert part in said
        assert is_one_sentence(said)
