"""Transfer in plain PyTorch, as one would write it there: for comparison alone.

A program of its own, for PyTorch and TensorFlow do not always bear one another in one process. A
line of JSON says what to run; each further line is a number of steps, which are answered by their
seconds.
"""

import itertools
import json
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class TorchTransfer:
    """A step of dense transfer.

    Channels last, the teacher frozen and in inference mode, one pass of each network; eager, with
    PyTorch's defaults.

    Args:
        depths: layers of the teacher and of the student.
        width: channels of the first section.
        shape: (batch, height, width, channels) of the images, which are random.
        flows: a list of [point, point, λ].
        weight_decay: of the optimizer.
        half: whether to multiply in bfloat16, by autocast.
    """

    def __init__(self, depths, width, shape, flows, weight_decay, half):
        torch.set_num_threads(os.cpu_count())
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=half)
        self.flows = flows
        self.teacher, self.student = (
            _Network(depth, width, shape[-1]).to(device, memory_format=_LAST) for depth in depths
        )
        self.teacher.eval().requires_grad_(False)
        self.optimizer = torch.optim.SGD(
            self.student.parameters(), 1e-6, momentum=0.9, weight_decay=weight_decay
        )
        images = torch.randn(shape).permute(0, 3, 1, 2)
        self.images = images.to(device, memory_format=_LAST)

    def step(self):
        with self.autocast():
            with torch.no_grad():
                taught = self.teacher(self.images)
            maps = self.student(self.images)
        loss = sum(
            λ * (_fsp(taught, flow) - _fsp(maps, flow)).square().sum((1, 2)).mean()
            for *flow, λ in self.flows
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def seconds(self, steps):
        """The seconds of each of so many steps."""
        found = []
        for _ in range(steps):
            began = time.perf_counter()
            self.step()
            found.append(time.perf_counter() - began)
        return found


_LAST = torch.channels_last


class _Network(nn.Module):
    """`skt_tf.resnet` without its head: {point: maps}."""

    def __init__(self, depth, width, channels):
        super().__init__()
        self.number = (depth - 2) // 6
        self.stem = _convolution(channels, width, 1)
        sizes = [width, width, 2 * width, 4 * width]
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    _convolution(ends[0] if first else ends[1], ends[1], 1 + (first and k > 0)),
                    _convolution(ends[1], ends[1], 1),
                ]
            )
            for k, ends in enumerate(itertools.pairwise(sizes))
            for first in [True] + [False] * (self.number - 1)
        )

    def forward(self, images):
        x = functional.relu(self.stem(images))
        found = {"p0": x}
        for k, (first, second) in enumerate(self.blocks):
            inner = functional.relu(first(x))
            section, block = divmod(k, self.number)
            half = self.number / 2
            if block + 0.5 == half:
                found[f"m{section + 1}"] = inner
            shortcut = x if x.shape == inner.shape else _option_a(x, inner.shape)
            x = functional.relu(second(inner) + shortcut)
            if block + 1 == half:
                found[f"m{section + 1}"] = x
            if block + 1 == self.number:
                found[f"p{section + 1}"] = x
        return found


def _convolution(channels, filters, stride):
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters)
    )


def _option_a(x, shape):
    """Subsampled, and channels of zeros on both sides."""
    if x.shape[2:] != shape[2:]:
        x = x[:, :, ::2, ::2]
    missing = shape[1] - x.shape[1]
    return functional.pad(x, (0, 0, 0, 0, missing // 2, missing - missing // 2))


def _fsp(maps, flow):
    first, second = (maps[point] for point in flow)
    if first.shape[2:] != second.shape[2:]:
        first = functional.adaptive_max_pool2d(first, second.shape[2:])
    # [batch, channels, positions], float32.
    first, second = (m.flatten(2).float() for m in (first, second))
    return first @ second.transpose(1, 2) / first.shape[2]


def main():
    transfer = TorchTransfer(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(transfer.seconds(int(line))), flush=True)


if __name__ == "__main__":
    main()
