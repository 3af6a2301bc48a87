"""The command line's flags, and the frozen configuration that they become.

Nothing here loads TensorFlow, so that `--help` and a mistyped flag answer at once.
"""

import contextlib
import dataclasses
import math
import os
import re
from fractions import Fraction

from absl import flags

from skt_tf import checks
from skt_tf.errors import UserError
from skt_tf.methods import DENSE, METHOD_NAMES, TEACHERS, stages
from skt_tf.points import SECTION_FLOWS, layout
from skt_tf.reading import CROPS, MIRRORED, image_size
from skt_tf.space import searchable

# What a student is exported to; the first alone where none is asked for.
FORMATS = ("saved_model", "litert", "litert_int8", "onnx")
JOBS = ("experiment", "tune", "export", "benchmark", "verify", "report")
# The rows of each experiment's table.
EXPERIMENTS = {
    "minimization": ("baseline", "baseline_long", "kd", "hint", "fsp", "skt", "skt_bottom_up"),
    "fast_optimization": (TEACHERS, "baseline", "baseline_long", "hint", "fsp", "skt"),
}
# Where the rate falls in tasks of 21k iterations, after which the papers compare fast optimization.
SHORT_TASK = (Fraction(11, 21), Fraction(16, 21))
TUNABLE = (
    "learning_rate",
    "transfer_learning_rate",
    "flow_weights",
    "transfer_split",
    "hint_learning_rate",
    "temperature",
)
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SCHEDULES = ("steps", "onecycle")


def _flag(default, help, choices=None):
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Config:
    """What one command does; each field is the flag of the same name.

    Raises:
        ValueError: a value that is not possible, in one sentence.
    """

    job: str = _flag("experiment", "What to do", JOBS)
    experiment: str = _flag(
        "minimization", "Which experiment of the paper to run", tuple(EXPERIMENTS)
    )
    dataset: str = _flag(
        "cifar10",
        "Images to train and test on: digits (built in); folder, for train/<class>/*.png|jpg and "
        "test/<class>/… in --data_dir; or a name of TensorFlow Datasets, such as cifar10",
    )
    data_dir: str | None = _flag(
        None, "Folder of the images, or of TensorFlow Datasets; its own default if not given"
    )
    image_size: str | None = _flag(
        None,
        "Size that all images are brought to, such as 32, or 32x48 for height and width; theirs, "
        "which must be one, if not given",
    )
    mirror: bool | None = _flag(
        None, "Mirror training images at random; for CIFAR alone if not given"
    )
    crop: str = _flag(
        "pad",
        "Training images padded by an eighth of their size and cropped at random, or as they are",
        CROPS,
    )
    methods: tuple[str, ...] | None = _flag(
        None,
        "Methods to compare, comma-separated; those of the experiment's table if not given",
        METHOD_NAMES,
    )
    teacher_depth: int = _flag(26, "Layers of the teacher, 6n+2")
    student_depth: int | None = _flag(
        None,
        "Layers of the student, 6n+2; if not given, 8, and in fast_optimization the teacher's",
    )
    width: int = _flag(16, "Channels of the first section, in both networks")
    nets: int = _flag(1, "Students trained per method, each with its own seed")
    seed: int = _flag(0, "Integer that fixes initial weights, data order and augmentation")
    batch_size: int = _flag(128, "Images per iteration")
    teacher_steps: int = _flag(64_000, "Iterations of the teacher's training")
    transfer_steps: int = _flag(
        21_000, "Iterations of transfer, shared evenly among a method's transfer stages"
    )
    hint_steps: int = _flag(21_000, "Iterations of the hint stage")
    task_steps: int = _flag(64_000, "Iterations of the task stage")
    budget: float = _flag(1.0, "Factor on every number of iterations")
    transfer_split: tuple[float, ...] | None = _flag(
        None,
        "Part of the transfer iterations for each transfer stage of skt, skt_kd and "
        "skt_bottom_up, comma-separated, such as 1,3; equal parts if not given",
    )
    transfer_boundaries: tuple[str, ...] | None = _flag(
        None,
        "Where transfer stages divide their rate by ten, as rising shares of the stage between 0 "
        "and 1, comma-separated, such as 1/2,3/4; 11/21,16/21 if not given",
    )
    section_flows: str = _flag(
        "ends",
        "Where the flow of a section begins: at the section's input, or within, at the first "
        "activation inside of it",
        SECTION_FLOWS,
    )
    dense_flows: str = _flag(
        "span",
        "What the overlapping flows cover: two sections, or one from middle to middle",
        ("span", "half"),
    )
    flow_weights: str | tuple[float, ...] = _flag(
        "normalized",
        "Weights of the flows: normalized (each flow's loss is a relative error), equal (the "
        "paper's letter), or one number per dense flow, comma-separated",
    )
    schedule: str = _flag(
        "steps",
        "Learning rate over a task stage: the paper's steps, or one cycle; other stages keep steps",
        SCHEDULES,
    )
    learning_rate: float = _flag(0.1, "First (steps) or highest (onecycle) rate of task stages")
    transfer_learning_rate: float | None = _flag(
        None, "First rate of transfer stages; 0.1 with normalized flow weights, 0.001 otherwise"
    )
    hint_learning_rate: float = _flag(0.0001, "First rate of the hint stage")
    weight_decay: float = _flag(0.0001, "Factor of half the squared norm of the kernels")
    temperature: float = _flag(3.0, "Temperature that softens the teacher's outputs")
    hint_reduction: str = _flag(
        "sum", "How the hint loss takes the entries of a map together", ("sum", "mean")
    )
    transfer_batch_norm: str = _flag(
        "batch",
        "Statistics the student normalises by in transfer and hint stages",
        ("batch", "inference"),
    )
    teacher_precision: str = _flag(
        "auto",
        "What the frozen teacher computes in; auto is bfloat16 where the machine computes in it",
        ("auto", "float32", "bfloat16", "float16"),
    )
    target_views: int = _flag(
        0,
        "Views of each training image whose FSP matrices of the teacher are computed once and "
        "kept in a file; 0 recomputes them for new crops in every iteration",
    )
    precision: str = _flag("float32", "Keras' dtype policy of networks that are built", PRECISIONS)
    distribution: str = _flag(
        "auto",
        "Devices that share each batch: one; all GPUs of this machine, or its logical CPUs; one of "
        "each worker in TF_CONFIG; or all GPUs where there are several, else one device",
        ("none", "mirrored", "multi_worker", "auto"),
    )
    jit_compile: bool = _flag(False, "Compile each step with XLA; slower on CPUs")
    deterministic: bool = _flag(
        True, "The same command gives the same bytes on one machine; may cost speed on GPUs"
    )
    validation: int = _flag(
        0,
        "Training images, of each class its share, that are held out for choosing by: curves show "
        "them instead of the test images",
    )
    checkpoint_every: str = _flag(
        "60s", "How often a network in training is saved: iterations (500) or seconds (60s)"
    )
    fresh: bool = _flag(
        False, "Start over where --output_dir holds a run, and keep that one beside it"
    )
    tensorboard: bool = _flag(
        False, "Also write TensorBoard's logs of each stage, into tensorboard/ of --output_dir"
    )
    evaluations: int = _flag(20, "Points of each curve: how often a stage is logged and tested")
    teacher: str | None = _flag(None, "Path of a saved teacher (.keras) instead of training one")
    student: str | None = _flag(
        None, "Path of a saved student (.keras): the network to train, or the one to export"
    )
    student_weights: str = _flag(
        "drawn",
        "What the nets of --student begin with: weights drawn anew by each net's seed, or those "
        "that were saved",
        ("drawn", "saved"),
    )
    teacher_points: tuple[str, ...] | None = _flag(
        None,
        "Names of the teacher's layers at the flow points in order of depth, comma-separated: "
        "2n+1, the ends and middles of n sections, or n+1, their ends; those of the networks that "
        "are built here, p0,m1,p1,m2,p2,m3,p3, if not given",
    )
    student_points: tuple[str, ...] | None = _flag(
        None, "Likewise of the student's layers, as many"
    )
    sections: int | None = _flag(
        None, "n, the number of sections, where a number of points could mean both"
    )
    project: bool = _flag(
        False,
        "Bridge channels that differ between teacher and student by trained 1×1 convolutions on "
        "the student's side, which are thrown away after transfer",
    )
    export: tuple[str, ...] | None = _flag(
        None,
        "What export writes, comma-separated, litert also with int8 weights and activations; "
        "saved_model if not given",
        FORMATS,
    )
    tuner: str = _flag(
        "bayesian",
        "How tune searches: with a Gaussian process, by Hyperband's rounds of a ninth, a third and "
        "all of the iterations, or at random",
        ("bayesian", "hyperband", "random"),
    )
    trials: int = _flag(30, "Trials of a search")
    tune: tuple[str, ...] | None = _flag(
        None,
        "Flags that tune searches, comma-separated; all that the method uses if not given",
        TUNABLE,
    )
    compare: str | None = _flag(None, "A benchmark.json to compare a benchmark with")
    runs: tuple[str, ...] | None = _flag(
        None,
        "Folders of finished runs that differ in their seeds alone, comma-separated, whose nets "
        "--job=report takes together",
    )
    output_dir: str | None = _flag(
        None, "Folder for everything the job writes; runs/<experiment>_<dataset> if not given"
    )

    def __post_init__(self):
        if self.student_depth is None:
            same = self.experiment == "fast_optimization"
            object.__setattr__(self, "student_depth", self.teacher_depth if same else 8)
        if self.methods is None:
            rows = EXPERIMENTS.get(self.experiment, ()) if self.job != "tune" else ("skt",)
            # A teacher that is given was not trained here, nor are others like it.
            rows = tuple(row for row in rows if row != TEACHERS or not self.teacher)
            # Without the middles of sections there are no dense flows.
            with contextlib.suppress(UserError):
                if not self.layout.middles:
                    rows = tuple(row for row in rows if row not in DENSE)
            object.__setattr__(self, "methods", rows)
        if self.export is None and self.job == "export":
            object.__setattr__(self, "export", FORMATS[:1])
        self._resolve_paths()
        if self.transfer_boundaries is not None:
            object.__setattr__(self, "transfer_boundaries", _shares(self.transfer_boundaries))
        checks.check(self)
        if self.job == "tune" and self.tune is None:
            object.__setattr__(self, "tune", searchable(self))
        if self.output_dir is None:
            default = f"runs/{self.job}"
            if self.job == "tune":
                default = f"runs/tune_{self.dataset}"
            if self.job == "experiment":
                default = f"runs/{self.experiment}_{self.dataset}"
            object.__setattr__(self, "output_dir", default)
        checks.check_fresh(self)

    def _resolve_paths(self):
        for name in ("data_dir", "teacher", "student", "compare", "output_dir"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _path(name, getattr(self, name)))
        if self.runs is not None:
            paths = tuple(_path("runs", path) for path in self.runs or ("",))
            object.__setattr__(self, "runs", paths)

    @property
    def iterations(self):
        """{kind: iterations} after the budget's factor."""
        kinds = ("teacher", "transfer", "hint", "task")
        # Half up, and never none: a tiny budget still runs every stage it can.
        return {
            kind: max(1, math.floor(getattr(self, f"{kind}_steps") * self.budget + 0.5))
            for kind in kinds
        }

    @property
    def size(self):
        """(height, width) of --image_size, or None."""
        return image_size(self.image_size)

    @property
    def images(self):
        """What `load_dataset` is to load."""
        return self.dataset, self.data_dir, self.size, self.mirror, self.crop

    @property
    def layout(self):
        """The `Layout` of the networks' flow points."""
        return layout(self.teacher_points, self.student_points, sections=self.sections)

    @property
    def points(self):
        """{point: layer name} of the teacher and of the student."""
        return self.layout.named(self.teacher_points), self.layout.named(self.student_points)

    @property
    def flows(self):
        """All flows that a stage may transfer."""
        return self.layout.flows(self.dense_flows, self.section_flows)

    def stages(self, method):
        """The stages of `method` with this configuration's flows, and their shares."""
        return self._stages(method, self.transfer_split)

    def unsplit_stages(self, method):
        """Likewise, the transfer stages with equal shares."""
        return self._stages(method, None)

    def _stages(self, method, split):
        return stages(method, self.dense_flows, split, self.layout, self.section_flows)

    def depth(self, method):
        """The layers of the networks that `method` trains."""
        return self.teacher_depth if method == TEACHERS else self.student_depth

    def boundaries(self, stage):
        """Shares of `stage` at which its rate falls; None stands for its objective's own."""
        if self.experiment == "fast_optimization" and "task" in stage.iterations:
            return SHORT_TASK
        if stage.flows and self.transfer_boundaries:
            return tuple(map(Fraction, self.transfer_boundaries))
        return None

    @staticmethod
    def rate_flag(objective):
        """The flag of the first or highest learning rate of a stage with `objective`."""
        prefix = objective + "_" if objective in ("hint", "transfer") else ""
        return f"{prefix}learning_rate"

    def rate(self, objective):
        """The first or highest learning rate of a stage with `objective`."""
        if objective == "hint":
            return self.hint_learning_rate
        if objective != "transfer":
            return self.learning_rate
        if self.transfer_learning_rate is not None:
            return self.transfer_learning_rate
        return _transfer_rate(self.flow_weights)

    def as_dict(self):
        """What decides an experiment's results, as plain JSON values: not where files lie."""
        values = dataclasses.asdict(self)
        for name in _NOT_THE_RESULTS:
            del values[name]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


# Flags that may change from one start of an experiment to the next.
_NOT_THE_RESULTS = (
    "job",
    "data_dir",
    "output_dir",
    "export",
    "tuner",
    "trials",
    "tune",
    "compare",
    "runs",
    "tensorboard",
    "distribution",
    "checkpoint_every",
    "fresh",
)


def as_flags(values):
    """Flags, a list of `--name=value`, of a configuration as `Config.as_dict` gives it.

    Those of the fields' own defaults are left out.
    """
    words = []
    for field in dataclasses.fields(Config):
        value = values.get(field.name)
        if value is None or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no'}{field.name}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"--{field.name}={text}")
    return words


def differing(there, here, aside=()):
    """What differs between two configurations, each as `Config.as_dict` gives it.

    A flag that an older record lacks has its default, one that is not given its value, and a
    network that is given is known by its content alone, which is compared elsewhere.

    Args:
        there, here: {name: value}.
        aside: names that may differ.

    Returns:
        {name: (value there, value here)}.
    """
    there, here = _settled(there), _settled(here)
    names = [*here, *(name for name in there if name not in here)]
    return {
        name: (there.get(name), here.get(name))
        for name in names
        if there.get(name) != here.get(name) and name not in aside
    }


def _settled(values):
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    values = {k: v for k, v in defaults.items() if k not in _NOT_THE_RESULTS} | values
    if values["mirror"] is None:
        values["mirror"] = values["dataset"] in MIRRORED
    if values["transfer_learning_rate"] is None:
        values["transfer_learning_rate"] = _transfer_rate(values["flow_weights"])
    for name in ("teacher", "student"):
        values[name] = "given" if values[name] else None
    return values


def _transfer_rate(flow_weights):
    return 0.1 if flow_weights == "normalized" else 0.001


def _shares(given):
    """Shares of a stage as fractions in lowest terms, which are equal however they are written."""
    texts = [str(share).strip() for share in given]
    # No exponents: a fraction of 1e999999999 would be written out.
    if not all(
        re.fullmatch(r"\d{1,9}(/0*[1-9]\d{0,8})?|\d{0,9}\.\d{1,20}", t, re.A) for t in texts
    ):
        raise UserError(
            f"--transfer_boundaries={','.join(texts)} is not understood: expected shares of a "
            "stage, such as 1/2,3/4"
        )
    return tuple(str(Fraction(text)) for text in texts)


def _path(name, path):
    """The value of a flag that is a path, checked, with its tilde resolved."""
    if not path.strip() or "\0" in path:
        raise UserError(f"--{name} is empty: expected a path")
    try:
        path.encode("utf-8")  # As it is written into results.json.
    except UnicodeEncodeError:
        raise UserError(f"--{name}={path!a} is not UTF-8: expected a path that is") from None
    return os.path.expanduser(path)


_DEFINE = {
    str: flags.DEFINE_string,
    str | None: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    tuple[str, ...] | None: flags.DEFINE_list,
    tuple[float, ...] | None: flags.DEFINE_list,
    str | tuple[float, ...]: flags.DEFINE_string,
    bool: flags.DEFINE_boolean,
    bool | None: flags.DEFINE_boolean,
}


def define_flags(flag_values=flags.FLAGS):
    """Defines one absl flag for each field of `Config`, which become key flags of this module."""
    for field in dataclasses.fields(Config):
        default, choices = field.default, field.metadata["choices"]
        text = field.metadata["help"] + (f": {', '.join(choices)}." if choices else ".")
        _DEFINE[field.type](
            field.name,
            default,
            text,
            flag_values=flag_values,
        )
    flag_values.set_gnu_getopt(True)


def from_flags(flag_values=flags.FLAGS):
    """The `Config` that the parsed flags say; raises a ValueError of one sentence."""
    values = {field.name: flag_values[field.name].value for field in dataclasses.fields(Config)}
    for name in (
        "methods", "runs", "export", "tune", "teacher_points", "student_points",
        "transfer_boundaries",
    ):  # fmt: skip
        if values[name] is not None:
            values[name] = tuple(values[name])
    if values["transfer_split"] is not None:
        try:
            values["transfer_split"] = tuple(float(part) for part in values["transfer_split"])
        except ValueError:
            raise UserError(
                f"--transfer_split={','.join(values['transfer_split'])} is not understood: "
                "expected numbers, such as 1,3"
            ) from None
    with contextlib.suppress(ValueError):  # A word: the configuration knows which ones there are.
        values["flow_weights"] = tuple(float(part) for part in values["flow_weights"].split(","))
    return Config(**values)
