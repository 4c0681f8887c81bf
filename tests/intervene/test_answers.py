import numpy as np
import pytest
import torch

from nucleate.activations import evaluating
from nucleate.intervene._answers import askings, by_likelihood
from nucleate.intervene._engine import WAYS, tails
from nucleate.prompts import Encoder, PromptSet
from nucleate.tasks import TaskSet, train_tokenizer
from small import material, model


def several_tokens() -> tuple[Encoder, PromptSet]:
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
    return encoder, PromptSet.from_examples(list(rows), taskset, encoder)


def greedy(net, ids: list[int], count: int) -> list[int]:
    """The oracle: one token after the other, each row alone."""
    out: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            out.append(int(net(torch.tensor([ids + out])).logits[0, -1].argmax()))
    return out


def likelihood(net, ids: list[int], answer: list[int]) -> float:
    """The oracle: the log-likelihood of an answer, each row alone."""
    with torch.no_grad():
        logits = net(torch.tensor([ids + answer])).logits[0].double().log_softmax(-1)
    return float(sum(logits[len(ids) - 1 + k, token] for k, token in enumerate(answer)))


def prompt(prompts: PromptSet, row: int) -> list[int]:
    return prompts.ids[row, : prompts.prompt_lengths[row]].tolist()


def asked(net, prompts: PromptSet, wanted, change=lambda index, states: None):
    """The scores of all rows, run on from the last token under one edit at the lowest stream."""
    rows = np.arange(len(prompts))
    found: dict[str, np.ndarray] = {}
    with evaluating(net):
        for asking in askings(prompts, rows, wanted):
            token = prompts.prompt_lengths - 1
            for tail in tails(net, asking.text, token, way=WAYS["tail"], variants=1):
                scores = asking.score(tail.rows, tail.run(0, change), tail.clean)
                for key, values in scores.items():
                    found.setdefault(key, np.full(len(rows), np.nan))[tail.rows] = values[:, 0]
    return found


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_hits_and_likelihoods_of_answers_of_several_tokens_are_those_of_rows_alone(arch):
    encoder, prompts = several_tokens()
    net = model(arch, width=32)
    net.resize_token_embeddings(encoder.vocab_size, mean_resizing=False)
    net.eval()
    rows = range(len(prompts))
    own = [prompts.ids[r, prompts.prompt_lengths[r] : prompts.lengths[r]].tolist() for r in rows]
    true = [greedy(net, prompt(prompts, r), len(own[r])) for r in rows]
    # Half of the wanted answers are what the model says, so that both outcomes occur.
    wanted = [t if r % 2 else o for r, (t, o) in enumerate(zip(true, own, strict=True))]
    found = asked(net, prompts, {"a": wanted, "b": true})
    assert found["hit.b"].all()
    assert found["hit.a"].tolist() == [w == t for w, t in zip(wanted, true, strict=True)]
    alone = [likelihood(net, prompt(prompts, r), wanted[r]) for r in rows]
    assert found["likelihood.a"] == pytest.approx(alone, abs=1e-4)


def test_single_token_answers_are_judged_in_one_pass_and_agree():
    prompts = material()[2]
    net = model().eval()
    own = [[int(prompts.ids[r, p])] for r, p in enumerate(prompts.prompt_lengths)]
    rotated = own[1:] + own[:1]
    wanted = {"own": own, "rotated": rotated}
    assert len(askings(prompts, np.arange(len(prompts)), wanted)) == 1
    found = asked(net, prompts, wanted)
    alone = [greedy(net, prompt(prompts, r), 1) for r in range(len(prompts))]
    assert found["hit.own"].tolist() == [a == b for a, b in zip(alone, own, strict=True)]
    assert found["hit.rotated"].tolist() == [a == b for a, b in zip(alone, rotated, strict=True)]


def test_without_an_edit_the_next_token_is_the_greedy_one_and_the_divergence_is_zero():
    prompts = material()[2]
    own = [[int(prompts.ids[r, p])] for r, p in enumerate(prompts.prompt_lengths)]
    net = model().eval()
    found = asked(net, prompts, {"own": own})
    alone = [greedy(net, prompt(prompts, r), 1)[0] for r in range(len(prompts))]
    assert found["token"].tolist() == alone
    assert found["kl"] == pytest.approx(0, abs=1e-6)


def test_next_token_and_divergence_are_those_of_the_edited_prediction():
    prompts = material()[2]
    net = model().eval()
    with torch.no_grad():  # large enough that an edit changes answers
        for parameter in net.parameters():
            parameter.mul_(4)
    own = [[int(prompts.ids[r, p])] for r, p in enumerate(prompts.prompt_lengths)]
    found = asked(net, prompts, {"own": own}, lambda index, s: -2 * s if index == 0 else None)
    flips = []
    for row in range(len(prompts)):
        with torch.no_grad():
            ids = torch.tensor([prompt(prompts, row)])
            inputs = net.get_input_embeddings()(ids)
            clean = net(inputs_embeds=inputs).logits[0, -1].double().log_softmax(-1)
            inputs[0, -1] *= -2
            edited = net(inputs_embeds=inputs).logits[0, -1].double().log_softmax(-1)
        kl = torch.nn.functional.kl_div(edited, clean, reduction="sum", log_target=True)
        assert found["kl"][row] == pytest.approx(float(kl), abs=1e-3)
        assert found["token"][row] == edited.argmax()
        flips.append(bool(clean.argmax() != edited.argmax()))
    assert any(flips)


def test_by_likelihood_the_likeliest_of_the_wanted_answers_is_the_answer():
    scores = {
        "likelihood.own": np.array([[-1.0, -4.0], [-2.0, -3.0]]),
        "likelihood.target": np.array([[-2.0, -1.0], [-2.0, -5.0]]),
        "likelihood.third": np.array([[-3.0, -2.0], [-9.0, -2.0]]),
        "hit.own": np.zeros((2, 2)), "hit.target": np.zeros((2, 2)), "hit.third": np.ones((2, 2)),
    }  # fmt: skip
    by_likelihood(scores, {"own": [[1], [1]], "target": [[2], [2]], "third": [[3], [3]]})
    assert scores["hit.own"].tolist() == [[1, 0], [0.5, 0]]
    assert scores["hit.target"].tolist() == [[0, 1], [0.5, 0]]  # the second row's first is a tie
    assert scores["hit.third"].tolist() == [[0, 0], [0, 1]]


def test_by_likelihood_one_answer_under_two_names_is_no_tie_with_itself():
    likely = {"own": np.array([[-1.0]]), "target": np.array([[-1.0]]), "third": np.array([[-1.0]])}
    scores = {f"likelihood.{name}": values for name, values in likely.items()}
    by_likelihood(scores, {"own": [[1, 5]], "target": [[2]], "third": [[1, 5]]})
    assert [scores[f"hit.{name}"].item() for name in likely] == [0.5, 0.5, 0.5]
