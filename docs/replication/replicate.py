"""Sequential knowledge transfer once more, in plain JAX: an independent implementation.

    python -m docs.replication.replicate --check
    python -m docs.replication.replicate --minutes=9 --data=parts --out=results [--from=results]

The definitions are in method.py, what runs on the device in programs.py, the tables and their
order in protocol.py; README.md says how to run.
"""

import argparse
import concurrent.futures
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
    Spec,
    mean_squares,
    new_nets,
    on_device,
    predict,
    rates,
    read,
    steps_of,
    views,
)
from docs.replication.protocol import SETTINGS, flows, needs_teacher, queue, stages

# What comes back from a device is a few files of limited size.
PIECE, PIECES = 15_500_000, 4


class OutOfTime(Exception):
    pass


def seeds(method, nets):
    return [2**30 + net if method == "teachers" else 1 + net for net in nets]


def row(tree, k):
    return jax.tree.map(lambda x: x[k], tree)


class Work:
    """Trains what the queue holds, nets of one method side by side, and keeps what comes out."""

    def __init__(self, args):
        self.args, self.deadline = args, time.monotonic() + 60 * args.minutes
        self.device = jax.devices()[0].device_kind
        self.units, self.seconds, self.ratios = [], {}, []
        self.arrays, self.transferred, self.found, self.programs = {}, {}, {}, {}
        self.pool = concurrent.futures.ThreadPoolExecutor(8)

    def once(self, key, make):
        if key not in self.found:
            self.found[key] = make()
        return self.found[key]

    def setting(self, table):
        setting = SETTINGS[table]
        return dataclasses.replace(setting, budget=setting.budget * self.args.budget)

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
        owner = SETTINGS[table].taught_in or table
        return self.once(("teacher", owner), lambda: self.variables(owner, "teachers", 0))

    def variables(self, *unit):
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
        if setting.equal:
            return np.ones(len(flows_used), np.float32)

        def make():
            data, margin = self.data(setting), 4 * setting.crop
            chosen = np.linspace(0, len(data.labels) - 1, min(10_000, len(data.labels))).round()
            moves = np.tile(np.int32([margin, margin, 0]), (len(chosen), 1))
            images = views(data.padded, chosen.astype(np.int32), moves, 32)
            pairs = sum(flows(setting.sections, setting.dense), ())
            squares = mean_squares(self.teacher(table), images, data, pairs, self.args.dtype)
            return {flow: 1 / float(square) for flow, square in zip(pairs, squares)}

        known = self.once(("λ", setting.taught_in or table, setting.sections, setting.dense), make)
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

        return self.once(("outputs", setting.taught_in or table), make)

    # Programs, and how long they take.

    def spec(self, setting, method, stage, nets, side):
        data = self.data(setting)
        live = stage.kind in ("transfer", "hint")
        live = live or (stage.kind == "soft_task" and not setting.keep)
        return Spec(
            stage.kind,
            stage.flows,
            setting.teacher_depth if method == "teachers" else setting.depth,
            setting.teacher_depth if live else 0,
            setting.width,
            100 if setting.dataset == "cifar100" else 10,
            nets,
            side,
            self.args.dtype,
            self.args.batch,
            self.args.steps,
            len(data.labels),
            4 * setting.crop,
            setting.mirror,
            setting.decay,
        )

    def program(self, spec, setting):
        """The compiled steps of `spec`, a future: programs compile beside each other."""

        def shapes():
            def variables(depth, nets):
                keys = jax.random.split(jax.random.key(0), nets)
                return new_nets(keys, depth, spec.width, spec.classes)

            weights, moving = variables(spec.depth, spec.nets)
            taught = variables(spec.teacher_depth, 1) if spec.teacher_depth else None
            given = jnp.zeros(spec.steps), jnp.zeros(spec.steps), jnp.zeros(spec.steps, bool)
            table, places = None, 81 if setting.crop else 1
            if spec.kind == "soft_task" and not spec.teacher_depth:
                table = jnp.zeros((places * (1 + spec.mirror), spec.number, spec.classes))
            keys = jax.random.split(jax.random.key(0), spec.nets)
            factors = jnp.zeros(len(spec.flows))
            return (weights, weights, moving), jnp.int32(0), keys, given, factors, taught, table

        if spec not in self.programs:
            lowered = jax.jit(steps_of(spec)).lower
            arguments = jax.eval_shape(shapes)
            data = self.data(setting)
            make = lambda: lowered(*arguments, data).compile()  # noqa: E731
            self.programs[spec] = self.pool.submit(make)
        return self.programs[spec]

    def name(self, spec):
        shape = f"{spec.teacher_depth}>{spec.depth}x{spec.width} {spec.nets}{spec.side}"
        return f"{self.device} {spec.dtype} {spec.kind}{len(spec.flows)} {shape} {spec.batch}"

    def time(self, spec, seconds):
        self.seconds[self.name(spec)] = seconds
        self.ratios.append(seconds / spec.expected)

    def seconds_of(self, spec):
        ratio = float(np.median(self.ratios)) if self.ratios else 1.0
        return self.seconds.get(self.name(spec), spec.expected * ratio)

    def way(self, table, method, nets):
        """(nets at a time, how): what takes the least time for each net, measured."""
        setting = self.setting(table)
        stage = stages("baseline", setting)[0]
        ways = [(1, "dense"), (nets, "dense"), (nets, "grouped")]
        specs = {way: self.spec(setting, method, stage, *way) for way in ways}

        def measure():
            for spec in specs.values():  # Compiled beside each other, then measured one by one.
                if self.name(spec) not in self.seconds:
                    self.program(spec, setting)
            for spec in specs.values():
                if self.name(spec) not in self.seconds:
                    self.measure(spec, setting)
            found = {way: self.seconds_of(spec) / spec.nets for way, spec in specs.items()}
            print(
                "seconds a step and net:", {f"{n} {s}": f"{t:.2g}" for (n, s), t in found.items()}
            )
            return min(found, key=found.get)

        if nets == 1 or self.deadline - time.monotonic() < 60:
            return ways[0]
        return self.once(("way", specs[ways[1]]), measure)

    def measure(self, spec, setting):
        keys = jax.random.split(jax.random.key(0), spec.nets)
        weights, moving = new_nets(keys, spec.depth, spec.width, spec.classes)
        state = weights, jax.tree.map(jnp.zeros_like, weights), moving
        given = np.full(spec.steps, 1e-4, np.float32), np.zeros(spec.steps, np.float32)
        given = *given, np.ones(spec.steps, bool)
        run, data = self.program(spec, setting).result(), self.data(setting)
        for _ in range(2):  # The first call is slower.
            began = time.monotonic()
            state, _ = jax.block_until_ready(
                run(state, np.int32(0), keys, given, np.zeros(0, np.float32), None, None, data)
            )
        self.time(spec, (time.monotonic() - began) / spec.steps)

    # Training.

    def train(self, table, method, nets, side):
        """Trains nets of a method side by side, and keeps their accuracies and weights."""
        setting, owner = self.setting(table), SETTINGS[table].taught_in or table
        plan, began = stages(method, setting), time.monotonic()
        early = tuple(stage for stage in plan if stage.kind == "transfer")
        new = seeds(method, nets)
        if early:
            starts = [0] * len(nets) if method.endswith("shared") else nets
            missing = [
                k for k in dict.fromkeys(starts) if (setting, early, k) not in self.transferred
            ]
            if missing:
                run = self.run(
                    table, method, early, missing, self.new(setting, method, missing), side
                )
                for k, net in enumerate(missing):
                    variables, log = row(run[0], k), log_of(run[1], k)
                    self.transferred[setting, early, net] = variables, log
            found = [self.transferred[setting, early, net] for net in starts]
            variables = jax.tree.map(lambda *rows: jnp.stack(rows), *(each for each, _ in found))
            logs = [log for _, log in found]
        else:
            variables, logs = self.new(setting, method, nets), [[]] * len(nets)
        if method == "teacher_copied":
            variables = jax.tree.map(lambda x: jnp.repeat(x, len(nets), 0), self.teacher(table))
        variables, log = self.run(table, method, plan[len(early) :], nets, variables, side)
        data, labels = self.data(setting), np.asarray(self.data(setting).test_labels)
        logits = predict(*variables, data.test_images, data, self.args.dtype, side)
        shares = np.asarray(jax.nn.softmax(logits))
        seconds = (time.monotonic() - began) / len(nets)
        for k, net in enumerate(nets):
            accuracy = float((shares[k].argmax(1) == labels).mean())
            unit = {"table": table, "method": method, "net": net, "accuracy": accuracy}
            unit |= {"held_out": bool(setting.held_out), "steps": sum(s.steps for s in plan)}
            unit |= {
                "seconds": round(seconds, 1),
                "device": self.device,
                "log": logs[k] + log_of(log, k),
            }
            self.units.append(unit)
            place = f"{table}/{method}/{net}"
            for part, tree in zip(("weights", "moving"), variables):
                for layer, arrays in tree.items():
                    for name, array in arrays.items():
                        self.arrays[f"{place}/{part}/{layer}/{name}"] = np.asarray(array[k])
            self.arrays[f"{place}/outputs"] = shares[k].astype(np.float16)
            print(
                f"{place}: {accuracy:.2%} after {unit['steps']} iterations, {seconds:.0f} s a net"
            )

    def new(self, setting, method, nets):
        depth = setting.teacher_depth if method == "teachers" else setting.depth
        classes = 100 if setting.dataset == "cifar100" else 10
        keys = jnp.stack([jax.random.fold_in(jax.random.key(s), 99) for s in seeds(method, nets)])
        return new_nets(keys, depth, setting.width, classes)

    def run(self, table, method, plan, nets, variables, side):
        """The stages of `plan`, one after the other: ((weights, moving), log)."""
        setting, log = self.setting(table), []
        weights, moving = variables
        for number, stage in enumerate(plan):
            spec = self.spec(setting, method, stage, len(nets), side)
            state = weights, jax.tree.map(jnp.zeros_like, weights), moving
            # The task's batches are the same in every method, whatever came before.
            stream = 0 if "task" in stage.kind else 1 + number
            keys = [jax.random.fold_in(jax.random.key(s), stream) for s in seeds(method, nets)]
            calls = -(-stage.steps // spec.steps)
            given = np.zeros((3, calls * spec.steps), np.float32)
            given[:, : stage.steps] = rates(stage), np.linspace(*stage.soft, stage.steps), 1
            taught = self.teacher(table) if spec.teacher_depth else None
            kept = stage.kind == "soft_task" and not spec.teacher_depth
            rest = (
                self.factors(table, stage.flows) if stage.flows else np.zeros(0, np.float32),
                taught,
                self.outputs(table) if kept else None,
                self.data(setting),
            )
            call, keys = self.program(spec, setting).result(), jnp.stack(keys)
            # About twenty times a stage the device is waited for.
            interval, times = -(-calls // 20), []
            for first in range(0, calls, interval):
                began, found = time.monotonic(), []
                for k in range(first, min(first + interval, calls)):
                    now = given[:, k * spec.steps : (k + 1) * spec.steps]
                    now = now[0], now[1], now[2].astype(bool)
                    state, parts = call(state, np.int32(k * spec.steps), keys, now, *rest)
                    found.append(parts)
                found = jax.device_get(found)
                times.append((time.monotonic() - began) / (len(found) * spec.steps))
                until = min((first + interval) * spec.steps, stage.steps)
                means = {
                    name: np.concatenate([p[name] for p in found])[
                        : until - first * spec.steps
                    ].mean(0)
                    for name in found[0]
                }
                log.append((stage.kind, until, means))
                if time.monotonic() > self.deadline:
                    raise OutOfTime
            self.time(spec, float(np.median(times)))
            weights, _, moving = state
        return (weights, moving), log

    # The queue, the plan and the archive.

    def needed(self, table, method, nets, side, cached):
        """Seconds that nets of a method are expected to take, and what they leave for others."""
        setting, owner = self.setting(table), SETTINGS[table].taught_in or table
        plan, total, left = stages(method, setting), 1.0, set()
        early = tuple(stage for stage in plan if stage.kind == "transfer")
        starts = [0] if method.endswith("shared") else nets
        left = {(setting, early, net) for net in starts} - cached if early else set()
        for stage in plan:
            of = nets if stage not in early else [key for key in left]
            if of:
                spec = self.spec(setting, method, stage, len(of), side)
                total += -(-stage.steps // spec.steps) * spec.steps * self.seconds_of(spec)
            if stage.kind == "soft_task" and setting.keep and ("outputs", owner) not in cached:
                left.add(("outputs", owner))
                images = 162 * spec.number if setting.crop else spec.number
                taught = self.spec(setting, "teachers", stages("teachers", setting)[0], 1, "dense")
                total += images / spec.batch * self.seconds_of(taught) / 3
        return total, left

    def pick(self, todo, done, cached, left):
        """What comes next and is expected to end within `left` seconds."""
        for table, method in dict.fromkeys(unit[:2] for unit in todo):
            nets = [net for *of, net in todo if of == [table, method]]
            owner = SETTINGS[table].taught_in or table
            if needs_teacher(method) and (owner, "teachers", 0) not in done:
                table, method, nets = owner, "teachers", [0]
            for number, side in dict.fromkeys([self.way(table, method, len(nets)), (1, "dense")]):
                seconds, leaves = self.needed(table, method, nets[:number], side, cached)
                if seconds < left:
                    return (table, method, nets[:number], side), seconds, leaves
        return None

    def plan(self, todo, done):
        """Prints what there is time for, and has its programs compiled."""
        todo, done, cached = list(todo), set(done), set()
        left = total = self.deadline - time.monotonic()
        while next_ := self.pick(todo, done, cached, left):
            (table, method, nets, side), seconds, leaves = next_
            setting = self.setting(table)
            for stage in stages(method, setting):
                self.program(self.spec(setting, method, stage, len(nets), side), setting)
            left -= seconds
            cached |= leaves
            units = {(table, method, net) for net in nets}
            done |= units
            todo = [unit for unit in todo if unit not in units]
            which = f"{table} {method} nets {nets} {side if len(nets) > 1 else ''}"
            print(f"{total - left:6.0f} s  {which}, {seconds:.0f} s")

    def go(self):
        wanted = [
            unit for unit in queue(self.args.nets, self.args.methods) if unit[0] in self.args.tables
        ]
        done = {(unit["table"], unit["method"], unit["net"]) for unit in self.units}
        todo = [unit for unit in wanted if unit not in done]
        self.plan(todo, done)
        while next_ := self.pick(
            todo, done, {*self.transferred, *self.found}, self.deadline - time.monotonic()
        ):
            (table, method, nets, side), seconds, _ = next_
            print(f"{table} {method} nets {nets} {side}: {seconds:.0f} s expected", flush=True)
            try:
                self.train(table, method, nets, side)
            except OutOfTime:
                print("given up: the time is over")
                break
            done |= {(table, method, net) for net in nets}
            todo = [unit for unit in todo if unit not in done]
            self.save()
        print(f"{len(todo)} nets of {len(wanted)} are left")

    def save(self):
        """Results as JSON; arrays in pieces, those first without which nothing goes on."""
        folder = pathlib.Path(self.args.out)
        folder.mkdir(parents=True, exist_ok=True)
        kept = {}
        for name in sorted(
            self.arrays, key=lambda name: ("/teachers/0/" not in name, "outputs" not in name)
        ):
            if sum(array.nbytes for array in kept.values()) < PIECE * PIECES - 10_000_000:
                kept[name] = self.arrays[name]
        file = io.BytesIO()
        np.savez(file, **kept)
        for k in range(PIECES):
            (folder / f"arrays.{k}").write_bytes(file.getvalue()[k * PIECE : (k + 1) * PIECE])
        record = {"precision": self.args.dtype, "random": self.args.random, "jax": jax.__version__}
        record |= {"budget": self.args.budget, "units": self.units, "ensembles": self.ensembles()}
        (folder / "results.json").write_text(
            json.dumps({**record, "seconds": self.seconds}, indent=1)
        )

    def ensembles(self):
        """{table/method: [nets, accuracy of their mean softmax outputs]}."""
        found, methods = {}, {}
        for unit in self.units:
            place = f"{unit['table']}/{unit['method']}"
            if f"{place}/{unit['net']}/outputs" in self.arrays:
                methods.setdefault(place, []).append(unit["net"])
        for place, nets in methods.items():
            labels = np.asarray(self.data(self.setting(place.split("/")[0])).test_labels)
            outputs = [np.float32(self.arrays[f"{place}/{net}/outputs"]) for net in nets]
            if len(nets) > 1:
                found[place] = len(nets), float((np.mean(outputs, 0).argmax(1) == labels).mean())
        return found

    def load(self, folder):
        """Goes on from what `save` has kept; of a rehearsal, how long each program takes."""
        record = json.loads((pathlib.Path(folder) / "results.json").read_text())
        self.seconds |= record["seconds"]
        if record["random"] and not self.args.random:
            return
        if (record["precision"], record["budget"]) != (self.args.dtype, self.args.budget):
            sys.exit(f"{folder} holds results of another precision or budget")
        self.units += record["units"]
        pieces = sorted(pathlib.Path(folder).glob("arrays.*"))
        self.arrays |= np.load(io.BytesIO(b"".join(piece.read_bytes() for piece in pieces)))


def log_of(log, k):
    return [
        (kind, step, {name: round(float(of_nets[k]), 5) for name, of_nets in means.items()})
        for kind, step, means in log
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare to reference.npz")
    parser.add_argument("--minutes", type=float, default=9, help="how long to work")
    parser.add_argument("--data", default="parts", help="folder of the images' parts")
    parser.add_argument("--out", default="results", help="folder of results")
    parser.add_argument("--from", dest="start", nargs="*", default=[], help="folders to go on from")
    parser.add_argument("--float32", dest="dtype", action="store_const", const="float32")
    parser.add_argument("--random", action="store_true", help="rehearse with random images")
    parser.add_argument("--tables", type=lambda text: text.split(","), default=list(SETTINGS))
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
