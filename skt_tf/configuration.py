"""What one command does: the settings of its trainings, and all that a command adds to them.

Nothing here loads TensorFlow, so that `--help` and a mistyped flag answer at once.
"""

import contextlib
import dataclasses
import math

from skt_tf.configuration_checks import FOLDERS, check, check_values
from skt_tf.data.image_settings import ImageSettings
from skt_tf.data.images import MIRRORED, is_mirrored
from skt_tf.experiments.chosen_networks import TEACHER_DEPTH, implied_depths, implied_networks
from skt_tf.exporting.formats import FORMATS, INPUT_DTYPES
from skt_tf.methods.catalogue import DENSE, METHOD_NAMES, TEACHERS
from skt_tf.models.architectures import STANDARD, WIDTH
from skt_tf.training.settings import BOUNDARIES, Settings
from skt_tf.tuning.search_space import TUNABLE, searchable
from skt_tf.utils.errors import UserError, named_as_flags
from skt_tf.utils.fields import COUNT, NATURAL, POSITIVE, Limits, as_path, as_words, setting

# {job: room}; each is `run(config)` of the room's module of its name.
JOBS = {
    "experiment": "experiments",
    "tune": "tuning",
    "export": "exporting",
    "benchmark": "benchmarks",
    "verify": "reports",
    "report": "reports",
}
# The rows of each experiment's table.
EXPERIMENTS = {
    "minimization": ("baseline", "baseline_long", "kd", "hint", "fsp", "skt", "skt_bottom_up"),
    "fast_optimization": (TEACHERS, "baseline", "baseline_long", "hint", "fsp", "skt"),
}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DEPTH = Limits(8, 1202)  # The deepest that has been published.


@dataclasses.dataclass(frozen=True)
class Config(Settings, ImageSettings):
    """What one command does; each field is the flag of the same name.

    Raises:
        ValueError: a value that is not possible, in one sentence.
    """

    job: str = setting("experiment", "What to do", JOBS)
    experiment: str = setting(
        "minimization", "Which experiment of the paper to run", tuple(EXPERIMENTS)
    )
    methods: tuple[str, ...] | None = setting(
        None,
        "Methods to compare, comma-separated, those of the experiment's table if not given: "
        f"{', '.join(METHOD_NAMES)}; or sequences of losses, such as flows:0.2>task+at*500, where "
        "> puts stages in order, + adds losses, * weighs one, : is a stage's share of the "
        "iterations",
    )
    teacher_network: str | None = setting(
        None, "Teacher of the field's standard protocol, in place of a depth", tuple(STANDARD)
    )
    student_network: str | None = setting(None, "Likewise the student", tuple(STANDARD))
    teacher_depth: int = setting(TEACHER_DEPTH, "Layers of the teacher, 6n+2", limits=DEPTH)
    student_depth: int | None = setting(
        None,
        "Layers of the student, 6n+2; if not given, 8, and in fast_optimization the teacher's",
        limits=DEPTH,
    )
    width: int = setting(
        WIDTH, "Channels of the first section, in networks of a depth", limits=Limits(1, 4096)
    )
    nets: int = setting(
        1, "Students trained per method, each with its own seed", limits=Limits(1, 10_000)
    )
    teacher_steps: int = setting(64_000, "Iterations of the teacher's training", limits=COUNT)
    budget: float = setting(1.0, "Factor on every number of iterations", limits=POSITIVE)
    target_views: int = setting(
        0,
        "Views of each training image whose FSP matrices of the teacher are computed once and "
        "kept in a file; 0 recomputes them for new crops in every iteration",
        limits=NATURAL,
    )
    precision: str = setting(
        "float32", "Keras' dtype policy of networks that are built", PRECISIONS
    )
    distribution: str = setting(
        "auto",
        "Devices that share each batch: one; all GPUs of this machine, or its logical CPUs; one of "
        "each worker in TF_CONFIG; or all GPUs where there are several, else one device",
        ("none", "mirrored", "multi_worker", "auto"),
    )
    deterministic: bool = setting(
        True, "The same command gives the same bytes on one machine; may cost speed on GPUs"
    )
    import_modules: tuple[str, ...] | None = setting(
        None,
        "Modules of yours to import before a network is loaded, which register its layers",
        jobs=("experiment", "tune", "export", "verify"),
    )
    fresh: bool = setting(
        False,
        "Start over where --output_dir holds a run, and keep that one beside it",
        jobs=("experiment", "tune"),
    )
    tensorboard: bool = setting(
        False, "Also write TensorBoard's logs of each stage, into tensorboard/ of --output_dir"
    )
    teacher: str | None = setting(
        None,
        "Path of a saved teacher (.keras or .h5) instead of training one",
        jobs=("experiment", "tune"),
    )
    student: str | None = setting(
        None,
        "Path of a saved student (.keras or .h5): the network to train, or the one to export",
        jobs=("experiment", "export", "tune"),
    )
    student_weights: str = setting(
        "drawn",
        "What the nets of --student begin with: weights drawn anew by each net's seed, or those "
        "that were saved",
        ("drawn", "saved"),
    )
    export: tuple[str, ...] | None = setting(
        None,
        "What export writes, comma-separated, litert also with int8 weights and activations; "
        "saved_model if not given",
        FORMATS,
        jobs=("export",),
    )
    input_dtype: str = setting(
        "float32",
        "Images that an exported SavedModel's default signature takes; a second takes the other",
        INPUT_DTYPES,
    )
    labels: str | None = setting(
        None,
        "Text file of the class names of an export, one a line in the order of the outputs; those "
        "of the student's dataset, where they are known, if not given",
        jobs=("export",),
    )
    license: str | None = setting(
        None, "License that the card of an export names, such as apache-2.0", jobs=("export",)
    )
    tuner: str = setting(
        "bayesian",
        "How tune searches: with a Gaussian process, by Hyperband's rounds of a ninth, a third and "
        "all of the iterations, or at random",
        ("bayesian", "hyperband", "random"),
    )
    trials: int = setting(30, "Trials of a search", limits=COUNT)
    tune: tuple[str, ...] | None = setting(
        None,
        "Flags that tune searches, comma-separated; all that the method uses if not given",
        TUNABLE,
        jobs=("tune",),
    )
    compare: str | None = setting(
        None, "A benchmark.json to compare a benchmark with", jobs=("benchmark",)
    )
    peers: bool = setting(
        False,
        "Measure in turns what others take for the same: Keras' distiller and fit, and PyTorch "
        "where it is installed",
        jobs=("benchmark",),
    )
    runs: tuple[str, ...] | None = setting(
        None,
        "Folders of finished runs that differ in their seeds alone, comma-separated, whose nets "
        "--job=report takes together",
        jobs=("report",),
    )
    output_dir: str | None = setting(
        None,
        "Folder for everything the job writes, or of the run that it reads; runs/<job> if not "
        "given, of an experiment runs/<experiment>_<dataset>, of a search runs/tune_<dataset>",
    )

    FREE = (
        *Settings.FREE, "job", "import_modules", "data_dir", "output_dir", "export", "tuner",
        "trials", "tune", "compare", "peers", "runs", "tensorboard", "distribution", "fresh",
        "input_dtype", "labels", "license", "stream",
    )  # fmt: skip

    def __post_init__(self):
        with named_as_flags():
            self._resolve()
            check_values(self)
            super().__post_init__()
            check(self)
        if self.job == "tune" and self.tune is None:
            object.__setattr__(self, "tune", searchable(self))

    def _resolve(self):
        """Gives what was not given the value that it stands for."""
        resolved = implied_networks(self)
        if self.methods is None:
            resolved["methods"] = self._rows()
        # Said, since records of older versions that say nothing were mirrored by these names alone.
        if self.mirror is None and is_mirrored(self.dataset) and self.dataset not in MIRRORED:
            resolved["mirror"] = True
        if self.export is None and self.job == "export":
            resolved["export"] = FORMATS[:1]
        for name in ("data_dir", "teacher", "student", "labels", "compare", "output_dir"):
            if getattr(self, name) is not None:
                resolved[name] = as_path(name, getattr(self, name))
        if self.runs is not None:
            resolved["runs"] = tuple(as_path("runs", path) for path in self.runs or ("",))
        if self.output_dir is None and (self.runs or self.job in FOLDERS):
            resolved["output_dir"] = FOLDERS.get(self.job, "runs/report").format(**vars(self))
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    def _rows(self):
        """The methods of a table, as far as this configuration can train them."""
        if self.job == "tune":
            return ("skt",)
        # An experiment that is unknown is refused by its own name.
        rows = EXPERIMENTS.get(self.experiment, ("baseline",))
        # A teacher that is given was not trained here, nor are others like it.
        rows = tuple(row for row in rows if row != TEACHERS or not self.teacher)
        # Without the middles of sections there are no dense flows.
        with contextlib.suppress(UserError):
            if not self.layout.middles:
                rows = tuple(row for row in rows if row not in DENSE)
        return rows

    @property
    def iterations(self):
        """{kind: iterations} after the budget's factor."""
        # Half up, and never none: a tiny budget still runs every stage it can.
        return {
            kind: max(1, math.floor(getattr(self, f"{kind}_steps") * self.budget + 0.5))
            for kind in ("teacher", "transfer", "hint", "task")
        }

    @property
    def knows_own(self):
        return bool(self.import_modules)

    def depth(self, method):
        """The layers of the networks that `method` trains."""
        return self.teacher_depth if method == TEACHERS else self.student_depth

    def boundaries(self, stage):
        found = super().boundaries(stage)
        if found or self.experiment != "fast_optimization" or stage.kind == "hint":
            return found
        # As in all that has 21k iterations.
        return BOUNDARIES["transfer"] if "task" in stage.iterations else None

    @classmethod
    def settled(cls, values):
        own = values.get("task_boundaries")
        values = super().settled(values)
        if values["experiment"] == "fast_optimization" and own is None:
            values["task_boundaries"] = None  # Those of the teacher and of students differ.
        if values["mirror"] is None:
            values["mirror"] = values["dataset"] in MIRRORED or values["crop"] == "resized"
        values["jit_compile"] &= not values["deterministic"]  # With which nothing is compiled.
        for name in ("teacher", "student"):  # Known by their content, which is compared elsewhere.
            values[name] = "given" if values[name] else None
        return values

    @classmethod
    def as_flags(cls, values):
        """A list of `--name=value` of a record as `as_dict` gives it, but for the defaults."""
        if values.get("deterministic", True):  # With which older versions compiled nothing.
            values = {**values, "jit_compile": False}
        implied = cls.left_open(values.get("optimizer", "sgd")) | implied_depths(values)
        return as_words(dataclasses.fields(cls), values, implied)
