"""Small tensor operations side by side."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], n_jobs: int | None = None
) -> list[Result]:
    """Call a function on each item, several at a time, each on one thread.

    For operations that are small: two calls side by side scale, two threads in one do not, and
    where other work fills the cores they wait for each other most of the time. Numbers that depend
    on how an operation is cut into threads would also differ between machines.

    Args:
        function: it works with torch, which lets go of the interpreter.
        items: what it is called on.
        n_jobs: calls at a time, -1 for all cores; by default as many as torch has threads.
    """
    import torch
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    def alone(item: Item) -> Result:
        torch.set_num_threads(1)
        return function(item)

    threads = torch.get_num_threads()
    try:
        with threadpool_limits(1):
            # Threads rather than processes: nothing is copied or started.
            parallel = Parallel(n_jobs=n_jobs or threads, backend="threading")
            return list(parallel(delayed(alone)(item) for item in items))
    finally:
        torch.set_num_threads(threads)
