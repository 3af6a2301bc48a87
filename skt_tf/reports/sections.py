"""The sections of a report, each a list of its blocks."""

import shlex

from skt_tf.data.images import held_out_name
from skt_tf.methods.catalogue import TEACHERS
from skt_tf.reports import figures, tables
from skt_tf.reports.published import explained, unpublished
from skt_tf.reports.results import failures
from skt_tf.utils.document import NONE, Code, Heading, Table, Text, as_typed, bullets, percent


def accuracies(pool):
    """The answer, the table of methods, what it means, and the nets of each method."""
    results, tested = pool.results, _tested(pool.results)
    blocks = [
        Text(tables.answer(results)),
        tables.summary(results),
        Text(
            f"Accuracy on the {tested} images at the last iteration; the {tested} images chose "
            "nothing. `baseline_long` is the student alone with the transfer's iterations added to "
            "its own. Iterations and seconds are summed over a method's nets."
        ),
    ]
    if len(pool.each) > 1:
        blocks.append(
            Text(
                f"Nets of {len(pool.each)} runs. An ensemble is of the nets of one run, if it has "
                "several; what is shown is the mean of the runs' ensembles."
            )
        )
    blocks += [Text(f"Failed: {as_typed(sentence)}.") for sentence in failures(results).values()]
    if TEACHERS in results["methods"]:
        blocks.append(
            Text(
                f"`{TEACHERS}` are networks trained like the teacher, of which the teacher is the "
                "first; `baseline` has the task's iterations alone."
            )
        )
    notes = tables.unequal, tables.more, tables.one_start, tables.best
    blocks += [Text(sentence) for note in notes if (sentence := note(results))]
    reason = unpublished(results)
    if reason:
        blocks.append(Text(f"No published accuracies stand beside these: {reason}."))
    else:
        blocks.append(Text(explained(results)))
    nets, differences = tables.nets(results), tables.differences(results)
    if nets:
        blocks += [Heading("Nets"), nets]
    if differences:
        blocks += [
            Heading("Differences, net by net"),
            differences,
            Text(
                "Points of accuracy. Net k of every method begins with the same weights and sees "
                "the same batches, so the difference is taken within each pair. Intervals are "
                "Student's t. All nets of a run share one teacher: the intervals say nothing of "
                "other teachers, and of many intervals one in twenty misses by chance."
            ),
        ]
    return blocks


def _tested(results):
    """What the test images are called."""
    return results.get("test_name", "test")


def _part(results):
    """The part of the images that the curves show: in the columns of files, and in words."""
    if results["config"].get("validation"):
        return "validation", held_out_name(_tested(results))
    return "test", _tested(results)


def curves(results, rows, folder):
    """Accuracy against iterations, and when each method reaches the student alone."""
    part, said = _part(results)
    measured = {
        method: [
            (int(row["iteration"]), row[f"{part}_accuracy"])
            for row in logged
            if f"{part}_accuracy" in row
        ]
        for method, logged in rows.items()
    }
    prefix = "validation_" if part == "validation" else ""
    canvas = figures.accuracy_curves(measured, said, results["teacher"].get(f"{prefix}accuracy"))
    title = f"{said.capitalize()} accuracy against iterations"
    blocks = [Heading(title), figures.save(canvas, folder / "accuracy.png", title)]
    if not measured.get(tables.BASELINE):
        return blocks
    # At the end of the curve, which is what the other curves can be held against.
    last, goal = measured[tables.BASELINE][-1]
    table = []
    for method, points in measured.items():
        first = next((iteration for iteration, share in points if share >= goal), None)
        reached = "not reached" if first is None else f"{first:,}"
        total = int(rows[method][-1]["iteration"]) if rows[method] else 0
        table.append((method, reached if points else NONE, f"{total:,}"))
    blocks += [
        Table(("method", f"reaches {percent(goal)} % at iteration", "of"), tuple(table)),
        Text(
            f"When each method first reaches the final accuracy of `{tables.BASELINE}`, "
            f"{percent(goal)} % after {last:,} iterations: iterations of a net, transfer "
            "included, to the interval at which the curves are measured; the curves are means "
            "over the nets."
            + " -: without logits it is not measured on its way."
            * any(not p for p in measured.values())
        ),
    ]
    return blocks


def transfer(results, rows, folder):
    """How each flow's loss fell, and the FSP matrices before and after."""
    blocks = []
    flows = list(results["flow_weights"] or {})
    curves = {
        method: {
            flow: [(row["iteration"], row[flow]) for row in logged if row.get(flow, 0) > 0]
            for flow in flows
        }
        for method, logged in rows.items()
    }
    canvas = figures.flow_curves(curves)
    if canvas:
        title = "Loss of each flow during transfer"
        blocks += [Heading(title), figures.save(canvas, folder / "flows.png", title)]
    shown = results.get("shown")
    if shown:
        columns = {"teacher": shown["teacher"], "student before": shown["before"]}
        columns |= {
            f"after {method}": entry["matrices"]
            for method, entry in results["methods"].items()
            if entry.get("matrices")
        }
        title = "FSP matrices before and after transfer"
        canvas = figures.matrix_pictures(shown["image"], columns)
        blocks += [
            Heading(title),
            figures.save(canvas, folder / "matrices.png", title),
            Text(
                f"Of {_tested(results)} image {shown['test_image']}, in the upper left corner, for "
                "the first net of each method with transfer, after its last stage of flows. The "
                "colours of a row run from zero to the teacher's largest entry. All are of "
                "inference: a student that was never trained normalises by the statistics 0 and 1 "
                "there, and its maps are larger than those that transfer begins with."
            ),
        ]
    return blocks


def costs(results):
    """What an image costs in each network; nothing where it was not measured."""
    networks = results.get("networks")
    if not networks:
        return []
    header = ("network", "parameters", "MFLOP an image", "images/s")
    rows = [
        (
            name,
            f"{network['parameters']:,}",
            f"{network['flops_per_image'] / 1e6:,.1f}",
            f"{network['images_per_second']:,.0f}",
        )
        for name, network in sorted(networks.items(), reverse=True)
    ]
    text = (
        "A forward pass in inference mode, in batches of "
        f"{results['config']['batch_size']}; FLOPs of convolutions and matrix products, a "
        "multiply-add being two; images/s measured on the machine below."
    )
    return [Heading("What an image costs"), Table(header, tuple(rows)), Text(text)]


def stages_and_weights(pool):
    """The stages of each method with their last losses, and λ of each flow."""
    results = pool.results
    rows = []
    for name, entry in results["methods"].items():
        for stage in entry["stages"]:
            loss = NONE if stage["final_loss"] is None else f"{stage['final_loss']:.4g}"
            rows.append((f"{name}, {stage['name']}", f"{stage['steps']:,}", loss))
    header = ("stage", "iterations", "loss at the end")
    blocks = [Heading("Stages"), Table(header, tuple(rows))]
    # Without a teacher, where its training failed, there are none.
    weighted = [each for each in pool.each if each["flow_weights"]]
    if weighted:
        seeds = [f"λ, seed {each['config']['seed']}" for each in weighted]
        header = ("flow", *(seeds if len(seeds) > 1 else ["λ"]))
        rows = [
            (flow, *(f"{each['flow_weights'][flow]:.4g}" for each in weighted))
            for flow in weighted[0]["flow_weights"]
        ]
        blocks += [Heading("Weights of the flows"), Table(header, tuple(rows))]
    return blocks


def use_of_images(results):
    """Sentences on which images were used for what."""
    held, tested = results["config"].get("validation"), _tested(results)
    curves = f"the {tested} images after each interval, for the curves alone, which chose nothing"
    if held:
        curves = (
            f"{held:,} of the training images, held out, stratified, the same ones for every seed: "
            "after each interval, for the curves, and for whatever is chosen between runs"
        )
    instead = "" if tested == "test" else ", which take the place of test images"
    return [
        "trained on, with the statistics that images are standardised by, and the weights of "
        "the flows: the training images" + (", without those held out" if held else ""),
        f"evaluated during training: {curves}",
        f"accuracies of the table: the {tested} images{instead}, read once for each net after its "
        "last iteration",
    ]


def origin(pool, command_line):
    """How to make this again: command, configuration, environment."""
    config = pool.results["config"]
    commands = []
    for each in pool.each:
        # With the modules of the user's own that the losses are in, and where the images are.
        given = each["config"] | {name: each.get(name) for name in ("import_modules", "data_dir")}
        commands.append(shlex.join(["python", "-m", "skt_tf.main", *command_line.as_flags(given)]))
    blocks = [
        Heading("Command"),
        Code("\n".join(commands)),
        Heading("Configuration"),
        bullets({f"`{name}`": value for name, value in config.items() if value is not None}),
    ]
    environments = [each["environment"] for each in pool.each]
    for number, environment in enumerate(environments):
        if environment in environments[:number]:
            continue
        name = "Environment" if number == 0 else f"Environment of seed {config['seed'][number]}"
        blocks += [Heading(name), bullets(environment)]
    for each in pool.each:
        for environment in each.get("further_environments", ()):
            blocks += [Heading("Environment in which the run went on"), bullets(environment)]
    return blocks
