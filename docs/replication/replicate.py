"""Sequential knowledge transfer once more, in plain JAX: an independent implementation.

    python -m docs.replication.replicate --check
    python -m docs.replication.replicate --minutes=9 --data=parts --out=results [--from=results]

The definitions are in method.py, what runs on the device in programs.py, the tables and their
order in protocol.py; README.md says how to run.
"""

import argparse
import dataclasses
import io
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from docs.replication import check
from docs.replication.programs import (
    Programs,
    Spec,
    mean_squares,
    new_nets,
    on_device,
    predict,
    read,
    views,
)
from docs.replication.protocol import SETTINGS, flows, needs_teacher, owner, queue, rates, stages

# What comes back from a device is a few files of limited size.
PIECE, LIMIT = 15_500_000, 58_000_000


class OutOfTime(Exception):
    pass


class Work:
    """Trains what the queue holds, nets of a method side by side, and keeps what comes out."""

    def __init__(self, args):
        self.args, self.deadline = args, time.monotonic() + 60 * args.minutes
        self.programs, self.units = Programs(), []
        self.arrays, self.transferred, self.found, self.together = {}, {}, {}, {}

    def once(self, key, make):
        if key not in self.found:
            self.found[key] = make()
        return self.found[key]

    def setting(self, table):
        setting, tiny = SETTINGS[table], {"depth": 8, "teacher_depth": 8, "width": 4}
        budget = setting.budget * self.args.budget
        return dataclasses.replace(setting, budget=budget, **(tiny if self.args.tiny else {}))

    def images(self, dataset):
        """(images, labels) of the training and of the test set, uint8 and int32."""
        numbers = self.args.images, self.args.test_images
        if not self.args.random:
            found = read(dataset, self.args.data)
            return [(images[:n], labels[:n]) for (images, labels), n in zip(found, numbers)]
        random, classes = np.random.default_rng(0), 100 if dataset == "cifar100" else 10
        shapes = [(n, 32, 32, 3) for n in numbers]
        images = [random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
        return [(each, np.arange(len(each), dtype=np.int32) % classes) for each in images]

    def data(self, setting):
        def make():
            images = self.once(setting.dataset, lambda: self.images(setting.dataset))
            return on_device(*images, setting)

        return self.once(("data", setting.dataset, setting.crop, setting.held_out), make)

    def teacher(self, table):
        """The variables of the table's teacher, [1, …]."""
        return self.once(("teacher", owner(table)), lambda: self.kept(owner(table), "teachers", 0))

    def kept(self, *unit):
        """The variables of a net that was trained before, [1, …]."""
        found = {}, {}
        for name, array in self.arrays.items():
            *of, part, layer, variable = name.split("/")
            if of == list(map(str, unit)):
                place = found[part == "moving"].setdefault(layer, {})
                place[variable] = jnp.asarray(array)[None]
        return found

    def factors(self, table, flows_used):
        """λ of flows, from at most 10,000 of the training images, evenly spread."""
        setting = self.setting(table)
        if setting.equal or not flows_used:
            return np.ones(len(flows_used), np.float32)

        def make():
            data, margin = self.data(setting), 4 * setting.crop
            chosen = np.linspace(0, len(data.labels) - 1, min(10_000, len(data.labels))).round()
            moves = np.tile(np.int32([margin, margin, 0]), (len(chosen), 1))
            images = views(data.padded, chosen.astype(np.int32), moves, 32)
            pairs = sum(flows(setting.sections, setting.dense), ())
            squares = mean_squares(self.teacher(table), images, data, pairs, self.args.dtype)
            return {flow: 1 / float(square) for flow, square in zip(pairs, squares)}

        known = self.once(("λ", owner(table), setting.sections, setting.dense), make)
        return np.float32([known[flow] for flow in flows_used])

    def outputs(self, table):
        """The teacher's logits for every view of the training images [views, number, classes]."""
        setting, data = self.setting(table), self.data(self.setting(table))

        def of_view(move):
            everyone = jnp.arange(len(data.labels))
            images = views(data.padded, everyone, jnp.tile(move, (len(data.labels), 1)), 32)
            return predict(*self.teacher(table), images, data, self.args.dtype)[0]

        def make():
            places = range(9 if setting.crop else 1)
            flips = range(1 + setting.mirror)
            moves = [(y, x, flip) for y in places for x in places for flip in flips]
            if self.args.random:  # A rehearsal: what is said does not matter.
                return jnp.tile(of_view(jnp.array(moves[0])), (len(moves), 1, 1))
            return jnp.stack([of_view(jnp.array(move)) for move in moves])

        return self.once(("outputs", owner(table)), make)

    # Training.

    def spec(self, setting, method, stage, nets, side):
        live = stage.kind in ("transfer", "hint")
        live = live or (stage.kind == "soft_task" and not setting.keep)
        return Spec(
            stage.kind,
            stage.flows,
            setting.teacher_depth if method == "teachers" else setting.depth,
            setting.teacher_depth if live else 0,
            setting.width,
            setting.classes,
            nets,
            side,
            self.args.dtype,
            self.args.batch,
            self.args.steps,
            len(self.data(setting).labels),
            4 * setting.crop,
            setting.mirror,
        )

    def new(self, setting, method, nets):
        """The variables that nets begin with: those of one number are the same in every method."""
        depth = setting.teacher_depth if method == "teachers" else setting.depth
        return new_nets(keys(method, nets, 99), depth, setting.width, setting.classes)

    def begun(self, table, method, nets, side):
        """(variables, logs) of nets after their stages of transfer, which methods may share."""
        setting = self.setting(table)
        early, starts = early_stages(method, setting, nets)
        if method == "teacher_copied":
            copies = jax.tree.map(lambda x: jnp.repeat(x, len(nets), 0), self.teacher(table))
            return copies, [[]] * len(nets)
        if not early:
            return self.new(setting, method, nets), [[]] * len(nets)
        places = {net: (setting, early, net) for net in starts}
        missing = [net for net, place in places.items() if place not in self.transferred]
        if missing:
            variables = self.new(setting, method, missing)
            variables, logs = self.run(table, method, early, missing, variables, side)
            for k, net in enumerate(missing):
                row = jax.tree.map(lambda x: x[k], variables)  # noqa: B023
                self.transferred[places[net]] = row, logs[k]
        rows, logs = zip(*(self.transferred[places[net]] for net in starts))
        return jax.tree.map(lambda *each: jnp.stack(each), *rows), logs

    def run(self, table, method, plan, nets, variables, side):
        """The stages of `plan`, one after the other: (variables, a log for each net)."""
        setting, logs = self.setting(table), [[] for _ in nets]
        weights, moving = variables
        for number, stage in enumerate(plan):
            spec = self.spec(setting, method, stage, len(nets), side)
            taught = self.teacher(table) if spec.teacher_depth else None
            outputs = stage.kind == "soft_task" and not spec.teacher_depth
            outputs = self.outputs(table) if outputs else None
            rest = np.float32(setting.decay), self.factors(table, stage.flows), taught, outputs
            # The task's batches are the same in every method, whatever came before.
            order = keys(method, nets, 0 if "task" in stage.kind else 1 + number)
            calls = -(-stage.steps // spec.steps)
            given = np.zeros((3, calls * spec.steps), np.float32)
            soft = np.linspace(*stage.soft, stage.steps)
            given[:, : stage.steps] = np.stack([rates(stage), soft, np.ones(stage.steps)])
            call = self.programs.program(spec, self.data(setting)).result()
            state = weights, jax.tree.map(jnp.zeros_like, weights), moving
            interval, times = -(-calls // 20) or 1, []  # The device is waited for 20 times a stage.
            for first in range(0, calls, interval):
                began, found = time.monotonic(), []
                for k in range(first, min(first + interval, calls)):
                    rate, soft, live = given[:, k * spec.steps : (k + 1) * spec.steps]
                    now = np.int32(k * spec.steps), order, (rate, soft, live.astype(bool))
                    state, parts = call(state, *now, *rest, self.data(setting))
                    found.append(parts)
                found = jax.device_get(found)
                times.append((time.monotonic() - began) / (len(found) * spec.steps))
                until = min((first + interval) * spec.steps, stage.steps)
                for part in found[0]:
                    values = np.concatenate([each[part] for each in found])
                    values = values[: until - first * spec.steps].mean(0)
                    for log, value in zip(logs, values.tolist()):
                        log.append((number, stage.kind, until, part, float(f"{value:.4g}")))
                if time.monotonic() > self.deadline:
                    raise OutOfTime
            if times:
                self.programs.time(spec, float(np.median(times)))
            weights, _, moving = state
        return (weights, moving), logs

    def train(self, table, method, nets, side):
        """Trains nets of a method side by side, and keeps their accuracies and variables."""
        setting, began = self.setting(table), time.monotonic()
        data, plan = self.data(setting), stages(method, setting)
        variables, before = self.begun(table, method, nets, side)
        late = plan[len(early_stages(method, setting, nets)[0]) :]
        variables, logs = self.run(table, method, late, nets, variables, side)
        logits = predict(*variables, data.test_images, data, self.args.dtype, side)
        outputs, labels = np.asarray(jax.nn.softmax(logits)), np.asarray(data.test_labels)
        seconds = round((time.monotonic() - began) / len(nets), 1)
        for k, net in enumerate(nets):
            unit = {"table": table, "method": method, "net": net}
            unit["accuracy"] = float((outputs[k].argmax(1) == labels).mean())
            unit["of"] = "held-out" if setting.held_out else "test"
            unit |= {"steps": sum(stage.steps for stage in plan), "seconds": seconds}
            unit |= {"device": self.programs.device, "log": [*before[k], *logs[k]]}
            self.units.append(unit)
            place = f"{table}/{method}/{net}"
            print(f"{place}: {unit['accuracy']:.2%}, {unit['steps']} iterations, {seconds} s")
            for part, layers in zip(("weights", "moving"), variables):
                for layer, arrays in layers.items():
                    for name, array in arrays.items():
                        self.arrays[f"{place}/{part}/{layer}/{name}"] = np.asarray(array[k])
            self.arrays[f"{place}/outputs"] = outputs[k].astype(np.float16)

    # The queue and the plan.

    def way(self, table, method, nets):
        """(nets at a time, how): what takes the least time for each net, measured."""
        if self.args.side != "measured":
            return (1, "dense") if self.args.side == "one" else (nets, self.args.side)
        setting = self.setting(table)
        stage = stages("baseline", setting)[0]
        ways = (1, "dense"), (nets, "dense"), (nets, "grouped")
        specs = [self.spec(setting, method, stage, *way) for way in ways]

        def measured():
            self.programs.measure(specs, self.data(setting))
            found = [self.programs.seconds_of(spec) / spec.nets for spec in specs]
            for (number, side), seconds in zip(ways, found):
                print(
                    f"{number} {specs[0].depth}-layer nets, {side}: {seconds:.2g} s a step and net"
                )
            return ways[int(np.argmin(found))]

        if nets == 1 or self.deadline - time.monotonic() < 60:
            return ways[0]
        return self.once(("way", specs[1]), measured)

    def needed(self, table, method, nets, side, there):
        """Seconds that nets of a method will take, and what they leave `there` for others."""
        setting, total = self.setting(table), 1.0
        early, starts = early_stages(method, setting, nets)
        leaves = {(setting, early, net) for net in starts} - there if early else set()
        for stage in stages(method, setting):
            if number := len(leaves if stage in early else nets):
                spec = self.spec(setting, method, stage, number, side)
                steps = -(-stage.steps // spec.steps) * spec.steps
                total += steps * self.programs.seconds_of(spec)
            outputs = "outputs", owner(table)
            if stage.kind == "soft_task" and setting.keep and outputs not in there:
                leaves = leaves | {outputs}
                taught = self.spec(setting, "teachers", stages("teachers", setting)[0], 1, "dense")
                views_of_all = taught.number * (162 if setting.crop else 1)
                total += views_of_all / taught.batch * self.programs.seconds_of(taught) / 3
        return total, leaves

    def pick(self, todo, done, there, left):
        """What is next and will end within `left` seconds, its seconds and what it leaves."""
        for table, method in dict.fromkeys(unit[:2] for unit in todo):
            nets = [net for *of, net in todo if of == [table, method]]
            if needs_teacher(method) and (owner(table), "teachers", 0) not in done:
                table, method, nets = owner(table), "teachers", [0]
            for number, side in dict.fromkeys([self.way(table, method, len(nets)), (1, "dense")]):
                seconds, leaves = self.needed(table, method, nets[:number], side, there)
                if 1.05 * seconds + 2 < left:
                    return (table, method, nets[:number], side), seconds, leaves
        return None

    def plan(self, todo, done):
        """Prints what there is time for, and has its programs compiled."""
        there, total = set(), self.deadline - time.monotonic()
        left = total
        while found := self.pick(todo, done, there, left):
            (table, method, nets, side), seconds, leaves = found
            setting, left = self.setting(table), left - seconds
            for stage in stages(method, setting):
                spec = self.spec(setting, method, stage, len(nets), side)
                self.programs.program(spec, self.data(setting))
            there, done = there | leaves, done | {(table, method, net) for net in nets}
            todo = [unit for unit in todo if unit not in done]
            print(f"{total - left:5.0f} s: {table} {method} {nets} {side}, {seconds:.0f} s")

    def go(self):
        """Works through the queue until nothing fits into the time that is left."""
        done = {(unit["table"], unit["method"], unit["net"]) for unit in self.units}
        units = queue(self.args.tables, self.args.methods, self.args.nets)
        todo = [unit for unit in units if unit not in done]
        self.plan(todo, done)
        while True:
            there, left = {*self.transferred, *self.found}, self.deadline - time.monotonic()
            if not (found := self.pick(todo, done, there, left)):
                break
            (table, method, nets, side), seconds, _ = found
            print(f"{left:.0f} s left: {table} {method} {nets} {side}, {seconds:.0f} s", flush=True)
            try:
                self.train(table, method, nets, side)
            except OutOfTime:
                print("given up, for the time is over")
                break
            done |= {(table, method, net) for net in nets}
            todo = [unit for unit in todo if unit not in done]
            self.save()
        print(f"{len(todo)} nets are left to do")
        self.programs.pool.shutdown(cancel_futures=True)

    # The archive.

    def save(self):
        """Results as JSON; in pieces the teachers, which work goes on from, and all other nets."""
        folder, total = pathlib.Path(self.args.out), 0
        folder.mkdir(parents=True, exist_ok=True)
        archives = {"teachers": {}, "nets": {}}
        # Softmax outputs before weights, which may not all find room.
        names = sorted(self.arrays, key=lambda n: ("/teachers/0/" not in n, "outputs" not in n))
        for name in names:
            total += self.arrays[name].nbytes
            if total < LIMIT:
                of = "teachers" if "/teachers/0/" in name else "nets"
                archives[of][name] = self.arrays[name]
        for name, arrays in archives.items():
            file = io.BytesIO()
            np.savez(file, **arrays)
            for k, first in enumerate(range(0, len(file.getvalue()), PIECE)):
                (folder / f"{name}.{k}").write_bytes(file.getvalue()[first : first + PIECE])
        record = {
            "precision": self.args.dtype,
            "budget": self.args.budget,
            "batch": self.args.batch,
        }
        record |= {"rehearsal": self.args.random, "jax": jax.__version__}
        record |= {"seconds": self.programs.seconds, "ensembles": self.ensembles()}
        lines = ",\n".join(json.dumps(unit) for unit in self.units)
        text = json.dumps(record, indent=1)[:-2] + f',\n "units": [\n{lines}\n]}}\n'
        (folder / "results.json").write_text(text)

    def ensembles(self):
        """{table/method: [nets, accuracy of their mean softmax outputs]}."""
        methods = {}
        for unit in self.units:
            place = f"{unit['table']}/{unit['method']}"
            if f"{place}/{unit['net']}/outputs" in self.arrays:
                methods.setdefault(place, []).append(unit["net"])
        for place, nets in methods.items():
            if len(nets) > self.together.get(place, (1, 0))[0]:
                labels = self.data(self.setting(place.split("/")[0])).test_labels
                outputs = [np.float32(self.arrays[f"{place}/{net}/outputs"]) for net in nets]
                hits = np.mean(outputs, 0).argmax(1) == np.asarray(labels)
                self.together[place] = len(nets), float(hits.mean())
        return self.together

    def load(self, folder):
        """Goes on from what `save` has kept; of a rehearsal, with what programs take alone."""
        folder = pathlib.Path(folder)
        record = json.loads((folder / "results.json").read_text())
        self.programs.seconds |= record["seconds"]
        if record["rehearsal"] and not self.args.random:
            return
        here = {"precision": self.args.dtype, "budget": self.args.budget, "batch": self.args.batch}
        if differing := [name for name in here if here[name] != record[name]]:
            sys.exit(f"{folder} holds results of another {differing[0]}: expected {here}")
        self.units += record["units"]
        self.together |= record["ensembles"]
        for name in ("teachers", "nets"):
            if pieces := sorted(folder.glob(f"{name}.*")):
                self.arrays |= np.load(io.BytesIO(b"".join(map(pathlib.Path.read_bytes, pieces))))


def early_stages(method, setting, nets):
    """(The stages of transfer, whose weights they are for each of `nets`)."""
    early = tuple(stage for stage in stages(method, setting) if stage.kind == "transfer")
    return early, [0] * len(nets) if method.endswith("shared") else nets


def keys(method, nets, stream):
    """Random keys of nets: net k of every method has the same, teachers have others."""
    seeds = [2**30 + net if method == "teachers" else 1 + net for net in nets]
    return jnp.stack([jax.random.fold_in(jax.random.key(seed), stream) for seed in seeds])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare to reference.npz")
    parser.add_argument("--minutes", type=float, default=9, help="how long to work")
    parser.add_argument("--data", default="parts", help="folder of the images' parts")
    parser.add_argument("--out", default="results", help="folder of results")
    parser.add_argument("--from", dest="start", nargs="*", default=[], help="folders to go on from")
    parser.add_argument("--float32", dest="dtype", action="store_const", const="float32")
    sides = ["measured", "one", "dense", "grouped"]
    parser.add_argument("--side", choices=sides, default="measured", help="how nets run")
    parser.add_argument("--random", action="store_true", help="rehearse with random images")
    parser.add_argument("--tiny", action="store_true", help="try out: 8 layers, 4 channels")
    parser.add_argument("--tables", type=lambda text: text.split(","), help="such as a,b16")
    parser.add_argument("--methods", type=lambda text: text.split(","), help="instead of a table's")
    parser.add_argument("--nets", type=int, help="instead of a table's")
    parser.add_argument("--budget", type=float, default=1.0, help="factor on all iterations")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=250, help="iterations a call")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--test_images", type=int, default=10_000)
    args = parser.parse_args()
    args.dtype = args.dtype or "bfloat16"
    jax.config.update("jax_default_matmul_precision", "highest")  # float32 means float32.
    if args.check:
        sys.exit(check.check())
    work = Work(args)
    for folder in args.start:
        work.load(folder)
    work.go()


if __name__ == "__main__":
    main()
