"""What a recorder needs of torch.distributed; in a single process, nothing happens here."""

import os

import torch.distributed as dist


def is_main() -> bool:
    """Whether this process is the one that writes: rank 0, or the only one."""
    if _is_initialized():
        return dist.get_rank() == 0
    # Before torch.distributed is set up, launchers have already told each process its rank.
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    return rank == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def all_agree(vote: bool) -> bool:
    """Whether every rank votes for it; all ranks must ask, and all get the same answer."""
    if not _is_initialized() or dist.get_world_size() == 1:
        return vote
    votes = [False] * dist.get_world_size()
    dist.all_gather_object(votes, vote)
    return all(votes)


def _is_initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
