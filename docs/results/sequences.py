"""Is there a sequence that wins? Variations of `skt` and `skt_kd`, judged by held-out images.

    python -m docs.results.sequences commands        # flags of the runs, one line each
    python -m docs.results.sequences table runs/sequences

At a sixteenth of the paper's iterations on CIFAR-10, 26 layers teach 8. Every variation and both
controls have as many iterations in all; one thing at a time differs from `BASE`. 5,000 training
images are held out: the teacher has not seen them either, and the test images choose nothing.
"""

import pathlib
import sys

from skt_tf.configuration import Config
from skt_tf.reports.confidence import mean, paired_difference
from skt_tf.reports.results import finished

HERE = pathlib.Path(__file__).parent
ITERATIONS = Config().transfer_steps + Config().task_steps
NETS = 2
RUN = f"--flagfile=flags/cifar10_short.flags --validation=5000 --nets={NETS}"
CONTROLS = "baseline_long", "kd_long"
BASE = {"methods": "skt_kd", "transfer": 0.05}
VARIATIONS = {
    **{
        f"{method}, {share:.0%} transfer": {"methods": method, "transfer": share}
        for method in ("skt_kd", "skt")
        for share in (0.02, 0.05, 0.1, 0.2)
    },
    "bottom-up": {"methods": "skt_bottom_up"},
    "rate 0.01": {"transfer_learning_rate": 0.01},
    "rate 0.03": {"transfer_learning_rate": 0.03},
    "rate 0.3": {"transfer_learning_rate": 0.3},
    "flows within sections": {"section_flows": "within"},
    "half-section windows": {"dense_flows": "half"},
    "both": {"section_flows": "within", "dense_flows": "half"},
    "λ = 1, rate 0.001": {"flow_weights": "equal", "transfer_learning_rate": 0.001},
    "step 1 a quarter": {"transfer_split": "1,3"},
    "step 1 three quarters": {"transfer_split": "3,1"},
}


def place(name):
    kept = "".join(c if c.isalnum() or c == "." else "_" for c in name.replace("λ", "lambda"))
    return f"runs/sequences/{kept}"


def commands(*more):
    """The command lines; `more` are flags for all of them, such as a precision."""
    extra = " ".join(("", *more))
    yield f"{RUN} --methods={','.join(CONTROLS)} --output_dir={place('controls')}{extra}"
    for name, changes in VARIATIONS.items():
        values = {**BASE, **changes}
        transfer = round(ITERATIONS * values.pop("transfer"))
        values |= {"transfer_steps": transfer, "task_steps": ITERATIONS - transfer}
        flags = " ".join(f"--{flag}={value}" for flag, value in values.items())
        teacher = f"--teacher={place('controls')}/teacher/model.keras"
        yield f"{RUN} {flags} {teacher} --output_dir={place(name)}{extra}"


def table(folder):
    """Markdown of the runs below `folder` that are finished."""
    root = pathlib.Path(folder).parent.parent
    controls = finished(root / place("controls"))["methods"]
    against = {name: controls[name]["validation_accuracies"] for name in CONTROLS}
    header = ["sequence", "held-out accuracy %", *(f"minus `{name}`" for name in CONTROLS)]
    lines = [f"| {' | '.join(header)} |", "|---" + "|---:" * (len(header) - 1) + "|"]
    rows = list(against.items())
    for name, changes in VARIATIONS.items():
        path = root / place(name)
        if (path / "results.json").exists():
            method = {**BASE, **changes}["methods"]
            rows.append((name, finished(path)["methods"][method]["validation_accuracies"]))
    for name, shares in sorted(rows, key=lambda row: -mean(row[1]).value):
        cells = [name, f"{100 * mean(shares).value:.2f}"]
        for other in against.values():
            number = min(len(shares), len(other))
            found = paired_difference(shares[:number], other[:number])
            cells.append(f"{100 * found.value:+.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(what, *arguments):
    print("\n".join(commands(*arguments)) if what == "commands" else table(*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
