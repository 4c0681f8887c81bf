"""Gives Schedule, Recorder and Run what they cannot take, where no annotation is enforced."""

import math
import os
import tempfile
from pathlib import Path

import nucleate as nc
from small import material, model

os.chdir(tempfile.mkdtemp())
PROMPTS, NET, EVERY = material()[2], model(), nc.Schedule.every(1)
MADE = nc.Run.create("made/run", PROMPTS, {})
Path("file").touch()


def recorder(*given, **named):
    return nc.Recorder(tempfile.mkdtemp(), PROMPTS, *given, **named)


CASES = {
    "Schedule.at": lambda v: nc.Schedule.at(v),
    "a step of Schedule.at": lambda v: nc.Schedule.at([0, v]),
    "Schedule.every": lambda v: nc.Schedule.every(v),
    "Schedule.log": lambda v: nc.Schedule.log(v),
    "Schedule.log, last": lambda v: nc.Schedule.log(5, "x" if v is None else v),
    "Schedule.log_then_linear": lambda v: nc.Schedule.log_then_linear(v, 2),
    "within": lambda v: EVERY.within("x" if v is None else v),
    "bound": lambda v: EVERY.bound(v),
    "|": lambda v: EVERY | v,
    "where": lambda v: nc.Recorder(v if v != "x" else "file", PROMPTS),
    "prompts": lambda v: nc.Recorder("new", v),
    "schedule": lambda v: recorder(v),
    "hyperparameters": lambda v: recorder(hyperparameters=[1] if v is None else v),
    "tokenizer": lambda v: recorder(tokenizer="x" if v is None else v),
    "step": lambda v: recorder(EVERY).step(NET, v),
    "model": lambda v: recorder(EVERY).step(v, 0),
    "finish": lambda v: recorder(EVERY).finish(NET, v),
    "saved": lambda v: recorder(EVERY).saved(NET, v),
    "due": lambda v: recorder(EVERY).due(v),
    "rewind": lambda v: recorder(EVERY).rewind(-2 if v == -1 else v),
    "close": lambda v: recorder(EVERY).close(end="x" if v is None else v),
    "take_hyperparameters": lambda v: recorder(EVERY).take_hyperparameters(v),
    "Run": nc.Run,
    "Run.create": lambda v: nc.Run.create(v if v != "x" else "file", PROMPTS, {}),
    "Run.create, prompts": lambda v: nc.Run.create("other", v, {}),
    "Run.create, manifest": lambda v: nc.Run.create("other", PROMPTS, v),
    "states": MADE.states,
    "rows": MADE.rows,
    "save_hyperparameters": MADE.save_hyperparameters,
}
VALUES = (None, "x", 1.5, -1, math.nan, True, "a\0b", "")

for name, take in CASES.items():
    for value in VALUES:
        try:
            take(value)
            print(f"{name} takes {value!r}")
        except nc.BadInput as error:
            sentence = str(error)
            if "\n" in sentence or len(sentence) < 20:
                print(f"{name} says {sentence!r} of {value!r}")
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            print(f"{name} raises {error!r} of {value!r}")
print("done")
