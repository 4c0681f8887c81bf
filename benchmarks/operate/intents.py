"""What the benchmarks of operation share: requests of clinc150, and small models trained on them.

A model is trained on 100 intents; 20 others and the requests outside every intent are kept away
from it. Models are kept in a folder, so that a second run trains nothing.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nucleate import PromptSet

DATA = Path(__file__).parents[3] / "shared" / "data" / "clinc150"
TRAINED, OUTSIDE = 100, "oos"
READ_OUT = "<answer>"
STEPS, BATCH, RATE = 2000, 32, 2e-3
VOCABULARY, DEPTH, WIDTH = 3000, 4, 128


def cache_folder() -> Path:
    """Where models are kept: NUCLEATE_BENCH_CACHE, or the user's cache."""
    return Path(
        os.environ.get(
            "NUCLEATE_BENCH_CACHE", Path.home() / ".cache" / "nucleate-bench" / "operate"
        )
    )


@dataclass(frozen=True)
class Requests:
    """Requests of clinc150 for one seed.

    Attributes:
        rows: `text`, `task`, `split` (`train`, `valid`, `test`).
        intents: those that a model is trained on, in order.
    """

    rows: tuple[dict[str, str], ...]
    intents: tuple[str, ...]

    @classmethod
    def read(cls, seed: int, data: Path = DATA) -> "Requests":
        lines = (data / "data.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        names = sorted({row["task"] for row in rows} - {OUTSIDE})
        chosen = np.random.default_rng(seed).permutation(len(names))[:TRAINED]
        return cls(
            tuple({"text": r["instruction"], "task": r["task"], "split": r["split"]} for r in rows),
            tuple(sorted(names[k] for k in chosen)),
        )

    @cached_property
    def intent(self) -> np.ndarray:
        """The number of each row's intent; -1 for one held out, -2 outside every intent."""
        number = {name: k for k, name in enumerate(self.intents)} | {OUTSIDE: -2}
        return np.array([number.get(row["task"], -1) for row in self.rows])

    def where(self, *splits: str) -> np.ndarray:
        """Rows of trained intents in some splits."""
        own = np.array([row["split"] in splits for row in self.rows])
        return np.flatnonzero(own & (self.intent >= 0))


@dataclass(frozen=True)
class Trained:
    """A model with its tokenizer; `labels` are the tokens of intents."""

    model: Any
    tokenizer: Any
    labels: torch.Tensor
    accuracy: float
    seconds: float


def tokenizer_of(texts: list[str], intents: tuple[str, ...]) -> Any:
    """Byte pairs of the training texts, a read-out token behind each text, a token an intent."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<unk>", READ_OUT, *(f"<{name}>" for name in intents)]
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special)
    )
    made.post_processor = processors.TemplateProcessing(
        single=f"$A {READ_OUT}", special_tokens=[(READ_OUT, made.token_to_id(READ_OUT))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", model_max_length=128)


def prompts_of(rows: list[dict[str, str]], tokenizer: Any, positions: Any = "last") -> PromptSet:
    return PromptSet.from_records(rows, tokenizer, positions=positions)


def trained(requests: Requests, seed: int, *, fresh: bool = False) -> Trained:
    """The model of a seed, from the folder of models if it is there; untrained if fresh."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = cache_folder() / f"clinc-{seed}"
    if not (folder / "done.json").exists():
        _train_into(folder, requests, seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if fresh:
        torch.manual_seed(seed)
        model = type(model)(model.config)
    about = json.loads((folder / "done.json").read_text())
    labels = torch.tensor(tokenizer.convert_tokens_to_ids([f"<{n}>" for n in requests.intents]))
    return Trained(model.eval(), tokenizer, labels, about["accuracy"], about["seconds"])


def logits_of(found: Trained, prompts: PromptSet, batch: int = 256) -> np.ndarray:
    """The read-out's logits of the intents."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(prompts), batch):
            part = prompts.take(np.arange(start, min(start + batch, len(prompts))))
            out = found.model(input_ids=torch.from_numpy(part.ids).long()).logits
            last = torch.from_numpy(part.prompt_lengths) - 1
            parts.append(out[torch.arange(len(last)), last][:, found.labels])
    return torch.cat(parts).double().numpy()


def _train_into(folder: Path, requests: Requests, seed: int) -> None:
    import time

    from transformers import LlamaConfig, LlamaForCausalLM

    rows = [requests.rows[k] for k in requests.where("train")]
    tokenizer = tokenizer_of([row["text"] for row in rows], requests.intents)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH,
            num_hidden_layers=DEPTH, num_attention_heads=4, max_position_embeddings=128,
            attn_implementation="eager", tie_word_embeddings=True,
        )
    )  # fmt: skip
    prompts = prompts_of(rows, tokenizer)
    code = torch.from_numpy(requests.intent[requests.where("train")])
    labels = torch.tensor(tokenizer.convert_tokens_to_ids([f"<{n}>" for n in requests.intents]))
    started = time.process_time()
    _train(model, prompts, labels[code], seed)
    seconds = time.process_time() - started
    found = Trained(model.eval(), tokenizer, labels, math.nan, seconds)
    held_out = requests.where("valid", "test")
    told = logits_of(found, prompts_of([requests.rows[k] for k in held_out], tokenizer))
    accuracy = float((told.argmax(1) == requests.intent[held_out]).mean())
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "done.json").write_text(json.dumps({"accuracy": accuracy, "seconds": seconds}))


def _train(model: Any, prompts: PromptSet, answers: torch.Tensor, seed: int) -> None:
    """The intent's token behind the read-out, one word in ten hidden."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=STEPS, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(seed)
    ids, lengths = torch.from_numpy(prompts.ids).long(), torch.from_numpy(prompts.prompt_lengths)
    unknown = 0
    model.train()
    for rows in _batches(len(prompts), generator):
        length = int(lengths[rows].max())
        batch, size = ids[rows, :length].clone(), lengths[rows]
        inside = torch.arange(length) < (size - 1)[:, None]
        # One token in ten is hidden, so that no intent hangs on a single word.
        hidden = (torch.rand(batch.shape, generator=generator) < 0.1) & inside
        states = model.model(input_ids=batch.masked_fill(hidden, unknown)).last_hidden_state
        answer = model.lm_head(states[torch.arange(len(rows)), size - 1])
        loss = torch.nn.functional.cross_entropy(answer, answers[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _batches(rows: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    order = torch.empty(0, dtype=torch.long)
    for _ in range(STEPS):
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(rows, generator=generator)])
        yield order[:BATCH]
        order = order[BATCH:]
