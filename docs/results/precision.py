"""What half precision costs in accuracy: runs that differ in --precision alone, net by net.

    python -m docs.results.precision docs/results/precision/float32 docs/results/precision/bfloat16

Writes levers_precision.md from the two runs' results.json.
"""

import pathlib
import sys

from skt_tf.reports.confidence import paired_difference
from skt_tf.reports.results import finished

HERE = pathlib.Path(__file__).parent
# Points within which an interval shows that precision costs nothing that counts.
WIDEST = 0.5


def main(*folders):
    one, other = (finished(pathlib.Path(folder)) for folder in folders)
    (method,) = one["methods"]
    found = [[100 * a for a in run["methods"][method]["accuracies"]] for run in (one, other)]
    machine, config = other["environment"], other["config"]
    difference = paired_difference(*reversed(found))
    names = [run["config"]["precision"] for run in (one, other)]
    seconds = [run["methods"][method]["seconds"] for run in (one, other)]
    lines = [
        "# What half precision costs in accuracy\n",
        f"```\npython -m docs.results.precision {' '.join(folders)}\n```\n",
        f"{one['dataset']}, {config['student_depth']} layers, `{method}`, --budget="
        f"{config['budget']:g}, --schedule={config['schedule']}. {machine['processor']}, "
        f"{machine['cores']} cores, TensorFlow {machine['tensorflow']}.\n",
        f"| net | {names[0]} % | {names[1]} % | difference |",
        "|---|---:|---:|---:|",
    ]
    for net, (a, b) in enumerate(zip(*found)):
        lines.append(f"| {net + 1} | {a:.2f} | {b:.2f} | {b - a:+.2f} |")
    low, high = difference.interval
    lines.append(
        f"\nMean difference {difference.value:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"
        f" (Student's t over {difference.number} pairs). All nets took {seconds[0]:,.0f} s and "
        f"{seconds[1]:,.0f} s, beside other work, so these are no measure of speed.\n"
    )
    wide = max(abs(low), abs(high)) > WIDEST
    told = low > 0 or high < 0
    verdict = "tells them apart" if told else "is wide" if wide else "is narrow and holds zero"
    stays = "stays" if told or wide else "need not stay"
    lines.append(
        f"The interval {verdict}: to be the default, mixed_bfloat16 had to hold zero within "
        f"±{WIDEST} points. `--precision=float32` {stays} the default, and that of the paper's "
        f"tables. These are pairs of `{method}`: of other stages they say nothing."
    )
    text = "\n".join(lines) + "\n"
    (HERE / "levers_precision.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
