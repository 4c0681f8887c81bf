import numpy as np
import pytest
import torch

from nucleate.intervene._answers import Prompts, hits
from nucleate.tasks import Encoder, Probe, TaskSet, train_tokenizer
from small import material, model


def several_tokens() -> tuple[Encoder, Probe]:
    """Answers of one to three tokens and an end, from words of a made-up language."""
    from nucleate.tasks import Example

    rows = tuple(
        Example(task, f"{task} {say}", f"{task} {say}", x, y, "train" if say == "do" else "seen")
        for task, answers in {"up": ("a", "b c", "dd e f"), "down": ("c c", "a", "b")}.items()
        for say in ("do", "make")
        for x, y in zip(("one", "two", "three"), answers, strict=True)
    )
    taskset = TaskSet(
        name="words", outputs="natural", tasks=("up", "down"), examples=rows,
        answers={(r.task, r.input): r.output for r in rows}, order="before", cue=True, atoms=(),
        weights={"up": 0.5, "down": 0.5}, overlaps=(),
    )  # fmt: skip
    encoder = Encoder.for_taskset(train_tokenizer(taskset, 300), taskset)
    return encoder, Probe.from_examples(list(rows), taskset, encoder)


def greedy(net, ids: list[int], count: int) -> list[int]:
    """The oracle: one token after the other, each row alone."""
    out: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            out.append(int(net(torch.tensor([ids + out])).logits[0, -1].argmax()))
    return out


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_hits_are_exactly_the_rows_whose_greedy_answer_is_the_wanted_one(arch):
    encoder, probe = several_tokens()
    net = model(arch, width=32)
    net.resize_token_embeddings(encoder.vocab_size, mean_resizing=False)
    rows = np.arange(len(probe))
    prompts = Prompts.of(probe, rows, torch.device("cpu"))
    own = [probe.ids[r, probe.prompt_lengths[r] : probe.lengths[r]].tolist() for r in rows]
    true = [
        greedy(net.eval(), probe.ids[r, : probe.prompt_lengths[r]].tolist(), len(own[r]))
        for r in rows
    ]
    # Half of the wanted answers are what the model says, so that both outcomes occur.
    wanted = [t if r % 2 else o for r, (t, o) in enumerate(zip(true, own, strict=True))]
    for batch in (2, 512):
        found = hits(net, prompts, {"a": wanted, "b": true}, batch=batch)
        assert found["b"].all()
        assert found["a"].tolist() == [w == t for w, t in zip(wanted, true, strict=True)]


def test_single_token_answers_are_judged_in_one_pass_and_agree():
    probe = material()[2]
    net = model().eval()
    passes = []
    net.register_forward_hook(lambda *_: passes.append(1))
    prompts = Prompts.of(probe, np.arange(len(probe)), torch.device("cpu"))
    own = [[int(probe.ids[r, p])] for r, p in enumerate(probe.prompt_lengths)]
    rotated = own[1:] + own[:1]
    found = hits(net, prompts, {"own": own, "rotated": rotated})
    assert len(passes) == 1
    alone = [greedy(net, probe.ids[r, :p].tolist(), 1) for r, p in enumerate(probe.prompt_lengths)]
    assert found["own"].tolist() == [a == b for a, b in zip(alone, own, strict=True)]
    assert found["rotated"].tolist() == [a == b for a, b in zip(alone, rotated, strict=True)]
