"""The pictures of a report."""

import io
import itertools

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogFormatter, MaxNLocator

from skt_tf.utils.document import Figure
from skt_tf.utils.files import whole
from skt_tf.utils.records import unpack

# Okabe and Ito's palette: told apart with any colour vision. The lines differ too, for print.
COLOURS = ("#000000", "#7f7f7f", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")
_LINES = ("-", "--", "-.", ":")
# As many plots side by side as a telephone shows.
_COLUMNS = 2
# The same bytes from the same numbers; letters stay letters.
_STYLE = {"svg.hashsalt": "skt_tf", "svg.fonttype": "none", "font.size": 10}


def accuracy_curves(curves, part, teacher):
    """Accuracy against iterations.

    Args:
        curves: {method: list of (iterations of a net, accuracy)}, accuracies as shares.
        part: which images, such as "test".
        teacher: the teacher's accuracy, or None.
    """
    canvas, (axis,) = _axes(1, 4.8, 3.6)
    styles = itertools.cycle(itertools.product(_LINES, COLOURS))
    for (method, points), (line, colour) in zip(curves.items(), styles):
        if points:
            iterations, shares = zip(*points)
            percent = [100 * share for share in shares]
            axis.plot(iterations, percent, line, color=colour, marker=".", label=method)
    if teacher is not None:
        axis.axhline(100 * teacher, color="#999999", linestyle=":", label="teacher")
    axis.set(
        xlabel="iterations of a net, transfer included",
        ylabel=f"{part} accuracy, %",
    )
    if axis.lines:
        canvas.legend(
            frameon=False, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 0), fontsize=9
        )
    return canvas


def flow_curves(curves):
    """Each flow's loss against iterations, or None where nothing was transferred.

    Args:
        curves: {method: {flow: list of (iterations, loss)}}.
    """
    curves = {method: flows for method, flows in curves.items() if any(flows.values())}
    if not curves:
        return None
    canvas, axes = _axes(len(curves), 2.4, 2.4)
    names = dict.fromkeys(flow for flows in curves.values() for flow in flows)
    colours = dict(zip(names, itertools.cycle(COLOURS[2:])))
    handles = {}
    for axis, (method, flows) in zip(axes, curves.items()):
        for number, (flow, points) in enumerate(flows.items()):
            if points:
                (handles[flow],) = axis.plot(
                    *zip(*points), _LINES[number % 4], color=colours[flow], marker="."
                )
        axis.set(title=method, xlabel="iterations", yscale="log")
        axis.yaxis.set_major_formatter(_Plain())
        axis.yaxis.set_minor_formatter(_Plain())
        axis.tick_params(axis="y", which="both", labelsize=8)
    for axis in axes[::_COLUMNS]:
        axis.set_ylabel("loss, λ‖Gᵀ − Gˢ‖²")
    canvas.tight_layout()
    # One legend for all: the last method may not use every flow.
    labels = [flow.replace("_", "-") for flow in handles]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 3}
    canvas.legend(handles.values(), labels, frameon=False, fontsize=9, **place)
    return canvas


def matrix_pictures(image, columns):
    """FSP matrices of one image, a row for each flow, a column for each network.

    Args:
        image: packed array [height, width, channels].
        columns: {title: {flow: packed array [m, n]}}, the teacher first. Each row has the
            colours of its teacher's largest entry.
    """
    flows = list(next(iter(columns.values())))
    shapes = [next(iter(columns.values()))[flow]["shape"] for flow in flows]
    # A row is as high as its matrices are, and its name needs.
    heights = [max(m / n, 0.35) for m, n in shapes]
    canvas = Canvas(figsize=(1.3 * (1 + len(columns)), 0.8 + 1.4 * sum(heights)))
    axes = canvas.subplots(
        len(flows), 1 + len(columns), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for row, flow in zip(axes, flows):
        shown = [unpack(matrices[flow]) for matrices in columns.values()]
        largest = float(np.abs(shown[0]).max()) or 1.0
        for axis, matrix in zip(row[1:], shown):
            axis.imshow(matrix, cmap="viridis", vmin=0, vmax=largest, interpolation="nearest")
        m, n = shown[0].shape
        row[0].text(1, 0.5, f"{flow.replace('_', '-')}\n{m}×{n}", ha="right", va="center")
    for axis, title in zip(axes[0, 1:], columns):
        axis.set_title(title.replace(" ", "\n", 1), fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    corner = canvas.add_axes((0.04, 0.88, 0.1, 0.1))
    corner.imshow(unpack(image).squeeze(), cmap="gray")
    corner.axis("off")
    return canvas


def trials(points):
    """Accuracy of a search's trials against each value that was searched.

    Args:
        points: {name: list of (value, accuracy, share of the iterations)}.
    """
    canvas, axes = _axes(len(points), 2.8, 2.5, most=4)
    for (name, found), axis in zip(points.items(), axes):
        values, shares, parts = zip(*found)
        # Filled where all iterations were run.
        colours = [COLOURS[7] if part == 1 else "none" for part in parts]
        percent = [100 * share for share in shares]
        axis.scatter(values, percent, s=22, c=colours, edgecolors=COLOURS[7])
        axis.set(xscale="log", xlabel=name.replace("_", " "))
    for axis in axes[::4]:
        axis.set_ylabel("validation accuracy, %")
    canvas.tight_layout()
    return canvas


def save(canvas, path, title):
    """Writes a picture as PNG to `path`; returns it for a report."""
    with matplotlib.rc_context(_STYLE):
        with whole(path) as draft:
            canvas.savefig(draft, dpi=110, bbox_inches="tight")
        svg = io.BytesIO()
        plain = {"metadata": {"Date": None}, "transparent": True}
        canvas.savefig(svg, format="svg", bbox_inches="tight", **plain)
    return Figure(path.name, title, svg.getvalue())


class _Plain(LogFormatter):
    """Labels of a logarithmic axis as numbers, without powers of ten."""

    def __call__(self, x, pos=None):
        return f"{x:g}" if super().__call__(x, pos) else ""


def _axes(plots, width, height, most=_COLUMNS):
    """A figure and its axes, up to `most` in a row, of `width` × `height` inches each."""
    columns, rows = min(plots, most), -(-plots // most)
    canvas = Canvas(figsize=(width * columns, height * rows))
    axes = canvas.subplots(rows, columns, squeeze=False, sharey=True).flat
    for axis in axes[plots:]:
        axis.set_visible(False)
    for axis in axes[:plots]:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10), integer=True))
        axis.xaxis.set_major_formatter("{x:,.0f}")
    return canvas, axes[:plots]
