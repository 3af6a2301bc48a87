"""What --help shows: the flags in groups of what they decide, of all jobs or of one."""

import dataclasses
import textwrap

from absl import flags

from skt_tf.configuration import JOBS, Config
from skt_tf.configuration_checks import FOLDERS, reads
from skt_tf.flags import explanation
from skt_tf.utils.fields import kinds

_FIELDS = {field.name: field for field in dataclasses.fields(Config)}
# Each group begins with the flags that are given most often.
GROUPS = {
    "What to do": ("job", "experiment", "methods", "budget", "nets"),
    "Data": (
        "dataset", "data_dir", "image_size", "validation", "mirror", "crop", "stream", "image_bits",
    ),
    "Networks": (
        "teacher", "student", "teacher_network", "student_network", "teacher_depth",
        "student_depth", "width", "teacher_points", "student_points", "project",
        "student_weights", "sections", "import_modules",
    ),
    "Methods": (
        "temperature", "flow_weights", "transfer_split", "section_flows", "dense_flows",
        "transfer_batch_norm", "hint_reduction",
    ),
    "Training": (
        "task_steps", "transfer_steps", "teacher_steps", "hint_steps", "batch_size",
        "learning_rate", "transfer_learning_rate", "hint_learning_rate", "schedule",
        "transfer_boundaries", "task_boundaries", "optimizer", "nesterov", "weight_decay", "seed",
    ),
    "Machine": (
        "precision", "distribution", "target_views", "teacher_precision", "jit_compile",
        "deterministic",
    ),
    "Output": (
        "output_dir", "fresh", "evaluations", "checkpoint_every", "tensorboard", "runs", "compare",
        "peers",
    ),
    "Export": ("export", "labels", "license", "input_dtype"),
    "Search": ("trials", "tune", "tuner"),
}  # fmt: skip
# What a job that writes no folder of its own takes for one.
_READ = {
    "verify": "Folder of the finished run.",
    "report": "Folder of the finished run, or for the report of --runs, runs/report if not given.",
}
_UNBROKEN = "\xa0"
# Those of absl's own that are of use here, in this project's words.
_ABSL = {
    "flagfile": "File of flags, one a line; those after it on the command line override it.",
    "undefok": "Names, comma-separated, that are passed over where they are no flags.",
    "verbosity": "What libraries log: -1 warnings, 0 notes, 1 all; errors alone if not given.",
    "helpfull": "All flags of absl, too.",
}
JOB_MEANINGS = {
    "experiment": "a teacher, students by each of --methods, their table; the default",
    "tune": "a search for the rates and weights of one method",
    "export": "a saved student, as files that other programs run",
    "benchmark": "what each part of a training costs on this machine",
    "verify": "the accuracies of a finished run, measured once more",
    "report": "the report of a finished run, made again",
}


def page(job=None, width=None):
    """The text of --help.

    Args:
        job: a name of `JOBS`, whose flags alone are listed; None lists those of all jobs.
        width: columns of the terminal; its own if not given.
    """
    width = width or flags.get_help_width()
    shown = reads(job, _FIELDS.values()) - {"job"} if job else set(_FIELDS)
    lines = _head(job, width)
    for title, names in GROUPS.items():
        if names := [name for name in names if name in shown]:
            lines += ["", f"{title}:"]
            for name in names:
                lines += _entry(name, width, job)
    lines += ["", "Of absl, which reads the flags:"]
    for name, text in _ABSL.items():
        lines += _wrapped(f"--{name}: {text}", width)
    return "\n".join(lines)


def _head(job, width):
    if job:
        return textwrap.wrap(f"--job={job}: {JOB_MEANINGS[job]}", width)
    lines = [
        "Teaches a small image classifier what a large one knows.",
        "",
        "  python -m skt_tf.main --flagfile=flags/quickstart.flags  papers' table, digits",
        "  python -m skt_tf.main --job=export --help                flags of one job",
        "",
        "Jobs:",
    ]
    return lines + [f"  {name:<11} {JOB_MEANINGS[name]}" for name in JOBS]


def _entry(name, width, job):
    """The lines of one flag."""
    if name == "output_dir" and job:
        return _wrapped(f"--{name}: {_folder(job)}", width)
    field = _FIELDS[name]
    switch = "[no]" if bool in kinds(field) else ""
    text = f"--{switch}{name}: {explanation(field)}"
    if field.default is not None:
        default = str(field.default).lower() if switch else field.default
        text += f" (default:{_UNBROKEN}{default})"
    return _wrapped(text, width)


def _folder(job):
    """What --output_dir is for one job."""
    if job in _READ:
        return _READ[job]
    default = FOLDERS[job].replace("{", "<").replace("}", ">")
    return f"Folder for everything the job writes; {default} if not given."


def _wrapped(text, width):
    layout = {"initial_indent": "  ", "subsequent_indent": "    "}
    lines = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False, **layout)
    return [line.replace(_UNBROKEN, " ") for line in lines]
