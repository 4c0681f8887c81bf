"""The server from which processes that work side by side are started.

It imports what they need once, in a process of its own: while it does, the caller imports too, and
its children start at once and share its memory.
"""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext


def context(preload: str) -> ForkServerContext:
    """The way to start processes; the first call starts the server.

    Args:
        preload: the module whose functions the processes will run.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([preload])
    forkserver.ensure_running()
    return server
