"""A simulated training: what the clustering is timed on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nucleate.metrics import standardize

POSITIONS = 2
_SURFACE = 0.5
_JITTER = 0.1
_MIDDLE, _WIDTH = 0.45, 0.08


@dataclass(frozen=True)
class Training:
    """States in which task clusters appear gradually, over the steps and with depth.

    Rows cross tasks with five families of four instruction strings each and with inputs. A state
    is the sum of
    - background: Gaussian, eigenvalues falling as 1 / index, another one at the end of the
      training than at its start, turned from one into the other along the course;
    - surface: a vector for each family and each instruction string, there from the start;
    - at the second position, a vector for each input;
    - a vector for each task, times the course and the root of the depth: none in the first;
    - jitter of each step, a tenth of the background.
    The course is a logistic curve of the step's number, from 0 to 1. All is z-scored over rows.
    """

    steps: int = 40
    streams: int = 8
    rows: int = 2000
    width: int = 128
    tasks: int = 20
    separation: float = 1.0
    seed: int = 0

    @cached_property
    def truth(self) -> np.ndarray:
        """The task of each row [row]."""
        return self._codes[0].numpy()

    def states(self, step: int, position: int) -> Tensor:
        """Standardized states [stream row width]."""
        return torch.stack(
            [standardize(self._state(step, stream, position)) for stream in range(self.streams)]
        )

    def _state(self, step: int, stream: int, position: int) -> Tensor:
        fixed = self._generator(stream, position)
        course = self._course(step)
        spectrum = torch.arange(1, self.width + 1).float() ** -0.5
        spectrum /= spectrum.square().mean().sqrt()
        turn = torch.linalg.qr(torch.randn(self.width, self.width, generator=fixed)).Q
        first, last = torch.randn(2, self.rows, self.width, generator=fixed)
        angle = torch.tensor(course * torch.pi / 2)
        x = (first * angle.cos() + last * angle.sin()) * spectrum @ turn
        task, family, string, given = self._codes
        depth = (stream / max(1, self.streams - 1)) ** 0.5
        parts = [
            (task, self.separation * depth * course),
            (family, _SURFACE),
            (string, _SURFACE),
            (given, _SURFACE * position),
        ]
        for codes, amount in parts:
            vectors = torch.randn(int(codes.max()) + 1, self.width, generator=fixed)
            x += amount * vectors[codes]
        moving = self._generator(stream, position, step + 1)
        return x + _JITTER * torch.randn(x.shape, generator=moving)

    def _course(self, step: int) -> float:
        def curve(at: float) -> float:
            return float(1 / (1 + np.exp(-(at - _MIDDLE) / _WIDTH)))

        at = step / max(1, self.steps - 1)
        return (curve(at) - curve(0)) / (curve(1) - curve(0))

    @cached_property
    def _codes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        row = torch.arange(self.rows)
        task = row % self.tasks
        rest = row // self.tasks
        family = task * 5 + rest % 5
        string = family * 4 + rest // 5 % 4
        return task, family, string, rest // 20 % 5

    def _generator(self, *place: int) -> torch.Generator:
        number = self.seed
        for part in place:
            number = number * 1009 + part
        return torch.Generator().manual_seed(number)
