"""A training script as a user has one: on its own, or on several ranks under a launcher."""

import argparse
import os
import sys

import torch
import torch.distributed as dist

from children import batches
from nucleate import Recorder, Schedule
from small import material, model

asked = argparse.ArgumentParser()
asked.add_argument("--lr", type=float)
asked.add_argument("--seed", type=int)
asked.add_argument("--out")
asked.add_argument("--die", default="")
options = asked.parse_args()

if options.die:
    sys.exit(options.die)
torch.set_num_threads(1)
ranks, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
net = model(seed=options.seed).train()
if ranks > 1:
    dist.init_process_group("gloo")
    net = torch.nn.parallel.DistributedDataParallel(net)
optimizer = torch.optim.SGD(net.parameters(), lr=options.lr)
schedule = Schedule.every(4).within(None)
with Recorder(options.out, material()[2], schedule) as recorder:
    for step, batch in enumerate(batches(rank, ranks, 8)):
        loss = net(**batch, use_cache=False).loss
        recorder.step(net, step, loss=loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    recorder.step(net, 8)
assert recorder.error is None
if ranks > 1:
    # A rank that leaves while another still speaks to it may be aborted.
    dist.barrier()
    dist.destroy_process_group()
