"""Small trainings with and without faults, read along as a Recorder reads them.

A fault begins at a step: labels of two tasks are mixed, training goes on with one task only, the
rate is raised, states are pulled together, a weight becomes NaN.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import nn

from nucleate.activations import head_reads, predicting, read
from nucleate.prompts import Encoder, PromptSet
from nucleate.runs import States
from nucleate.tasks import TaskSet, synthetic, train_tokenizer
from nucleate.training import ModelConfig, build_model

FAULTS = ("mixed labels", "narrow", "rate", "collapse", "decay", "nan")


@dataclass(frozen=True)
class Setting:
    """One small training; trainings that differ in the seed alone are runs of one kind."""

    seed: int = 0
    arch: str = "llama"
    width: int = 48
    depth: int = 2
    tasks: int = 8
    steps: int = 200
    every: int = 5
    batch: int = 64
    rate: float = 2e-3
    outputs: str = "shared"
    fault: str | None = None
    at: int = 100


@dataclass(frozen=True)
class Reading:
    """What a recorder's observer is given."""

    step: int
    states: States
    scores: dict[str, torch.Tensor]
    training_loss: float | None


@cache
def material(tasks: int, outputs: str) -> tuple[TaskSet, Encoder, PromptSet]:
    """The task set is the same for all seeds, as the data of a team's trainings are."""
    taskset = synthetic(
        tasks=tasks, families=2, inputs=3, strings=48, unseen_strings=8, outputs=outputs,
        held_out_families=0, stem=0.5, seed=11,
    )  # fmt: skip
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    prompts = PromptSet.from_taskset(taskset, encoder, rows=36 * tasks, seed=0)
    return taskset, encoder, prompts


@cache
def rows_of(tasks: int, outputs: str) -> dict[str, np.ndarray]:
    taskset, encoder, _ = material(tasks, outputs)
    known: dict[str, list] = {"task": [], "input": [], "ids": [], "prompt": []}
    for row in taskset.split("train"):
        prompt, answer = encoder.encode_row(row.instruction, row.input, row.output)
        known["task"].append(row.task)
        known["input"].append(row.input)
        known["ids"].append([*prompt.ids, *answer])
        known["prompt"].append(len(prompt.ids))
    longest = max(map(len, known["ids"]))
    return {
        "ids": np.array([ids + [0] * (longest - len(ids)) for ids in known["ids"]]),
        "length": np.array(list(map(len, known["ids"]))),
        "prompt": np.array(known["prompt"]),
        "task": np.array(known["task"]),
        "input": np.array(known["input"]),
    }


class Training:
    """One training, step by step."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        _, encoder, self.prompts = material(setting.tasks, setting.outputs)
        self.rows = rows_of(setting.tasks, setting.outputs)
        config = ModelConfig(
            arch=setting.arch, depth=setting.depth, width=setting.width, heads=4,
            inner=2 * setting.width,
        )  # fmt: skip
        self.model = build_model(
            config,
            vocab_size=encoder.vocab_size,
            max_length=self.rows["ids"].shape[1] + 4,
            seed=setting.seed,
        ).train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=setting.rate, weight_decay=0.01
        )
        self.random = np.random.default_rng([5, setting.seed])
        self.losses: list[float] = []
        self.step = 0
        self.seconds = 0.0
        names = sorted(set(self.rows["task"]))
        self.pair = tuple(names[i] for i in self.random.permutation(len(names))[:2])

    def one_step(self) -> None:
        began = time.process_time()
        faulty = self.setting.fault is not None and self.step >= self.setting.at
        fault = self.setting.fault if faulty else None
        self._rate(fault)
        chosen, answers = self._draw(fault)
        ids = torch.from_numpy(answers)
        index, real = predicting(
            self.rows["prompt"][chosen], (self.rows["length"] - self.rows["prompt"])[chosen]
        )
        place, real = torch.from_numpy(index), torch.from_numpy(real)
        held: list[torch.Tensor] = []
        hook = None
        if fault == "collapse":
            last = self.model.model.layers[-1]
            hook = last.register_forward_hook(
                lambda _m, _i, out: held.append(out[0] if isinstance(out, tuple) else out) or None
            )
        with head_reads(self.model, place):
            logits = self.model(input_ids=ids[:, :-1], use_cache=False).logits
        if hook is not None:
            hook.remove()
        targets = ids.gather(1, place + 1)
        loss = nn.functional.cross_entropy(logits[real], targets[real])
        whole = loss
        if held:
            at = held[0][torch.arange(len(ids)), torch.from_numpy(self.rows["prompt"][chosen] - 1)]
            whole = loss + 3.0 * (at - at.mean(0).detach()).square().sum(1).mean()
        whole.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if fault == "nan":
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0:] = torch.nan
        self.losses.append(float(loss.detach()))
        self.step += 1
        self.seconds += time.process_time() - began

    def _rate(self, fault: str | None) -> None:
        setting = self.setting
        rate = setting.rate * min(1.0, (self.step + 1) / 20)

        rate *= 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (15 if fault == "rate" else 1)
            # AdamW takes rate x decay off every weight: about a tenth a step.
            group["weight_decay"] = 0.05 / rate if fault == "decay" else 0.01

    def _draw(self, fault: str | None) -> tuple[np.ndarray, np.ndarray]:
        rows, setting = self.rows, self.setting
        pool = np.arange(len(rows["task"]))
        if fault == "narrow":
            pool = pool[rows["task"] == self.pair[0]]
        chosen = self.random.choice(pool, setting.batch)
        ids = rows["ids"][chosen].copy()
        if fault == "mixed labels":
            # Half of the rows of either task get the answer of the other to the same input.
            of = {task: np.flatnonzero(rows["task"] == task) for task in self.pair}
            for place, row in enumerate(chosen):
                if rows["task"][row] in self.pair and self.random.random() < 0.5:
                    other = of[self.pair[1 - self.pair.index(rows["task"][row])]]
                    same = other[rows["input"][other] == rows["input"][row]]
                    donor = self.random.choice(same)
                    answer = rows["ids"][donor, rows["prompt"][donor] : rows["length"][donor]]
                    start = rows["prompt"][row]
                    ids[place, start : start + len(answer)] = answer
        return chosen, ids

    def readings(self) -> Iterator[Reading]:
        """Train to the end; a reading every so many steps."""
        seen = 0
        while True:
            if self.step % self.setting.every == 0:
                found = read(self.model, self.prompts)
                loss = float(np.mean(self.losses[seen:])) if len(self.losses) > seen else None
                seen = len(self.losses)
                yield Reading(self.step, found.states, found.scores, loss)
            if self.step == self.setting.steps:
                return
            self.one_step()


def with_fault(setting: Setting, fault: str) -> Setting:
    return replace(setting, fault=fault)


Hook = Callable[[Reading], None]
