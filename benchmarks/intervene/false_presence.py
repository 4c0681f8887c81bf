"""How often a causal map without a panel calls the task decodable where states hold none.

    python benchmarks/intervene/false_presence.py [--sets 300]

Gaussian states, 10 tasks, 3 inputs: every instruction string has a random vector of its own, every
input too, and rows have noise; 3 streams at 2 positions. The nominal rate is 5 %.
"""

import argparse

import numpy as np
import torch
from scipy.stats import binom, binomtest

from nucleate.intervene._cast import Cast, cast
from nucleate.intervene._presence import presence
from nucleate.prompts import PromptSet

TASKS, INPUTS, WIDTH, STREAMS, POSITIONS = 10, 3, 16, 3, 2
NOMINAL = 0.05


def roles_of(strings: int) -> Cast:
    """The roles of rows of 10 tasks with so many instruction strings each."""
    cells = [(t, s, x) for t in range(TASKS) for s in range(strings) for x in range(INPUTS)]
    count = len(cells)
    prompts = PromptSet(
        ids=np.array([[t * strings + s, x, t] for t, s, x in cells], dtype=np.int32),
        prompt_lengths=np.full(count, 2),
        lengths=np.full(count, 3),
        positions={"last": np.full(count, 1)},
        labels={
            "task": tuple(f"t{t:02}" for t, _, _ in cells),
            "instruction": tuple(f"t{t:02} s{s:02}" for t, s, _ in cells),
            "input": tuple(f"x{x}" for _, _, x in cells),
        },
        chance=np.full(count, 1 / TASKS),
        tokenizer_hash="",
    )
    return cast(prompts, None, np.random.default_rng(0))


def decodable(roles: Cast, seed: int) -> bool:
    """Whether some place of random states is called decodable."""
    rng = np.random.default_rng(seed)
    shape = (STREAMS, POSITIONS)
    states = (
        rng.normal(size=(*shape, int(roles.string.max()) + 1, WIDTH))[:, :, roles.string]
        + 2 * rng.normal(size=(*shape, INPUTS, WIDTH))[:, :, roles.input]
        + rng.normal(size=(*shape, len(roles.task), WIDTH)) / 2
    )
    shares, bar = presence(torch.from_numpy(states).float(), roles, seed)
    return bool((shares > bar).any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=300)
    sets = parser.parse_args().sets
    torch.set_num_threads(1)
    most = binom.ppf(0.975, sets, NOMINAL) / sets
    print(
        f"| strings per task | sets called decodable [95 %] ({NOMINAL:.0%} and the binomial margin "
        f"allow {most:.1%}) |\n|---|---|"
    )
    for strings in (2, 3, 6, 20):
        roles = roles_of(strings)
        found = sum(decodable(roles, seed) for seed in range(sets))
        low, high = binomtest(found, sets).proportion_ci(method="wilson")
        print(
            f"| {strings} | {found} of {sets} = {found / sets:.1%} [{low:.1%}, {high:.1%}] |",
            flush=True,
        )


if __name__ == "__main__":
    main()
