"""Arguments that are no arrays: what is of the wrong kind ends in a sentence, in every metric."""

import subprocess
import sys

# In a process of its own, in which nothing checks types before the functions do.
CODE = """
import inspect, sys, traceback, warnings
import numpy as np
from nucleate import BadInput, metrics

warnings.simplefilter("ignore")
task = np.arange(24) % 3
string, fold, half = np.arange(24) // 3 * 3 + task, np.arange(24) // 3 % 4, np.arange(24) // 3 % 2
x = np.random.default_rng(0).normal(size=(24, 5))
given = {"x": x, "rows": x, "other": x[:, ::-1], "source": x, "states": [x, x], "labels": task,
         "predicted": task, "clusters": task, "a": task, "b": task, "groups": string,
         "folds": fold, "conditions": half, "strings": string, "factors": {"task": task},
         "classes": task, "predictions": task, "k": 3, "ks": [2, 3], "n_splits": 3}
numbers = ("k", "ks", "n_", "seed", "tol", "penalty", "share", "discard", "min_", "interactions",
           "metric", "factors", "states")
wrong = [None, -1, 1.5, float("nan"), "x", [], {}, object(), np.zeros(3), b"x", True]
calls = 0
for name in sorted(vars(metrics) | dict.fromkeys(dir(metrics))):
    function = getattr(metrics, name)
    if not inspect.isfunction(function):
        continue
    parameters = inspect.signature(function).parameters.values()
    needed = [it.name for it in parameters if it.default is it.empty]
    if not set(needed) <= set(given):
        continue
    base = {it: given[it] for it in needed}
    for parameter in parameters:
        if not parameter.name.startswith(numbers):
            continue
        for value in wrong:
            calls += 1
            try:
                function(**(base | {parameter.name: value}))
            except BadInput:
                pass
            except Exception as error:
                print(f"{name}({parameter.name}={value!r}): {error!r}")
print(calls)
"""


def test_an_argument_of_the_wrong_kind_is_refused_in_a_sentence_by_every_metric():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    *wrong, calls = done.stdout.splitlines()
    assert wrong == []
    assert int(calls) > 300
