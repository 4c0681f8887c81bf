from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from nucleate import BadInput
from nucleate.training import Regularizer, shuffle_over_strings
from nucleate.training.regularizers._bare_prompts import BarePrompts
from nucleate.training.regularizers._losses import unit_variance
from nucleate.training.regularizers._penalty import (
    Penalty,
    Rows,
    donors,
    watched,
)
from small import ARCHITECTURES, model

KINDS = ("contrastive", "center", "prompting", "reversal", "scatter_penalty", "scatter_reward")
OF_LABELS = tuple(kind for kind in KINDS if kind != "prompting")


def rows(seed: int = 0, count: int = 32, apart: float = 0.0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    tasks = torch.arange(count) % 4
    states = torch.randn(count, 6, generator=generator) + 5
    states[torch.arange(count), tasks] += apart
    shuffled = tasks[torch.randperm(count, generator=generator)]
    return Rows(states.requires_grad_(), tasks, shuffled)


def penalty(kind: str, trained: torch.Tensor | None = None, **settings: object) -> Penalty:
    trained = [] if trained is None else [trained]
    return Penalty(Regularizer(kind=kind, **settings), trained, tasks=4, width=6)


def gradient(loss: torch.Tensor, seen: Rows) -> torch.Tensor:
    return torch.autograd.grad(loss, seen.states)[0]


# Weights


def test_a_weight_is_constant_or_rises_in_a_line_and_is_off_from_a_step_on():
    assert {Regularizer(kind="center", weight=0.3).weight_at(step) for step in range(99)} == {0.3}
    ramp = Regularizer(kind="center", weight=0.4, ramp_steps=4, until=6)
    assert [ramp.weight_at(step) for step in range(8)] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0, 0]
    )


def test_the_middle_block_is_taken_where_no_stream_is_named():
    assert Regularizer(kind="center").stream_in(model(depth=5)) == "block.2"
    assert Regularizer(kind="center").stream_in(model(depth=2)) == "block.0"
    assert Regularizer(kind="prompting").stream_in(model(depth=2)) == "block.0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kind": "center", "stream": "block.7"},
            r"no stream named 'block.7' .*choose one of embed",
        ),
        ({"kind": "prompting", "stream": "block.1"}, "prompting at block.1 teaches nothing"),
        ({"kind": "prompting", "stream": "final_norm"}, "prompting at final_norm teaches nothing"),
    ],
)
def test_a_stream_where_nothing_can_be_done_is_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        Regularizer(**settings).stream_in(model(depth=2))


# Directions


@pytest.mark.parametrize("kind", OF_LABELS)
def test_following_the_gradient_moves_clusters_the_way_that_is_meant(kind):
    seen, term = rows(apart=2.0), penalty(kind)
    for _ in range(300 if kind == "reversal" else 30):  # until the adversary has learned
        loss = term(seen)
    step = seen.states - 2 * gradient(loss, seen) / gradient(term(seen), seen).norm()
    share = [
        (unit_variance(x).reshape(8, 4, 6).mean(0).square().sum() / 4).item()
        for x in (seen.states, step)
    ]
    assert (share[1] > share[0]) == Regularizer(kind=kind).promotes
    assert share[1] != pytest.approx(share[0], rel=1e-2)


class Reverse(torch.autograd.Function):
    """The layer of Ganin et al.: nothing forward, the sign turned backward."""

    @staticmethod
    def forward(_, x):
        return x.view_as(x)

    @staticmethod
    def backward(_, gradient):
        return -gradient


def test_reversal_gives_states_and_classifier_the_gradients_of_a_reversal_layer():
    seen, term = rows(apart=3.0), penalty("reversal", classifier_rate=0.1)
    for _ in range(20):
        term(seen)
    weight, speed = term.true.weight.clone().requires_grad_(), term.true.speed.clone()
    reversed_ = Reverse.apply(unit_variance(seen.states)) * 6**0.5
    logits = reversed_ @ weight[:, :-1].T + weight[:, -1]
    losses = functional.cross_entropy(logits, seen.tasks, reduction="none")
    assert (losses < torch.tensor(4.0).log()).all()  # none is worse than a guess
    losses.mean().backward()
    expected = seen.states.grad.clone()
    torch.testing.assert_close(gradient(term(seen), seen), expected)
    torch.testing.assert_close(term.true.speed, 0.9 * speed + weight.grad)
    torch.testing.assert_close(term.true.weight, weight - 0.1 * term.true.speed)


def test_a_row_on_which_the_classifier_is_worse_than_a_guess_is_pushed_no_further():
    seen, term = rows(apart=3.0), penalty("reversal")
    for _ in range(20):
        term(seen)
    wrong = Rows(seen.states, (seen.tasks + (torch.arange(32) < 8)) % 4)
    loss = term(wrong)
    pushed = torch.autograd.grad(loss, seen.states)[0]
    assert 0 < -loss.item() <= torch.tensor(4.0).log()
    # All rows share mean and scale; beyond these, eight rows have no gradient of their own.
    assert pushed[:8].norm() < 0.5 * pushed[8:16].norm()


def test_the_adversary_learns_to_read_tasks_that_are_there():
    term = penalty("reversal")
    for seed in range(60):
        loss = term(rows(seed, apart=4.0))
    assert 0 < -loss.item() < 0.25 * torch.tensor(4.0).log()


# Twins


def through(weight: torch.Tensor, seed: int) -> Rows:
    """States that a trained matrix makes of inputs in which tasks show."""
    seen = rows(seed, apart=1.0)
    return Rows(seen.states.detach() @ weight, seen.tasks, seen.shuffled)


@pytest.mark.parametrize("kind", OF_LABELS)
def test_a_twin_pulls_as_hard_as_its_original_on_what_is_trained_and_elsewhere(kind):
    weight = torch.eye(6).requires_grad_()
    alone, twin = penalty(kind), penalty(kind, weight, shuffled=True)
    for seed in range(5):
        seen = through(weight, seed)
        true, theirs = (
            torch.autograd.grad(term(seen), weight, retain_graph=True)[0] for term in (alone, twin)
        )
        assert theirs.norm().item() == pytest.approx(true.norm().item(), rel=1e-4)
    assert true.norm() > 0
    assert functional.cosine_similarity(true.flatten(), theirs.flatten(), 0) < 0.9
    # The twin has learned the original's centers or classifier on the way.
    for name, value in alone.true.state_dict().items():
        assert torch.equal(twin.true.state_dict()[name], value)


@pytest.mark.parametrize("kind", OF_LABELS)
def test_a_twin_whose_tasks_are_not_permuted_is_its_original(kind):
    weight = torch.eye(6).requires_grad_()
    alone, twin = penalty(kind), penalty(kind, weight, shuffled=True)
    for seed in range(4):
        seen = through(weight, seed)
        same = Rows(seen.states, seen.tasks, seen.tasks)
        expected = torch.autograd.grad(alone(seen), weight, retain_graph=True)[0]
        torch.testing.assert_close(torch.autograd.grad(twin(same), weight)[0], expected)
    assert twin.scale.item() == pytest.approx(1, rel=1e-5)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1), st.integers(0, 99))
def test_shuffling_keeps_strings_whole_and_how_many_strings_each_task_has(pairs, seed):
    # A string belongs to one task: the one in its name.
    tasks, strings = [a for a, _ in pairs], [f"{a}-{b}" for a, b in pairs]
    given_to = dict(zip(strings, shuffle_over_strings(tasks, strings, seed=seed), strict=True))
    again = shuffle_over_strings(tasks, strings, seed=seed)
    assert again == [given_to[string] for string in strings]
    of_string = dict(zip(strings, tasks, strict=True))
    assert Counter(given_to.values()) == Counter(of_string.values())


def test_shuffling_depends_on_the_seed():
    tasks, strings = [0, 1] * 20, list(range(40))
    first, other = (shuffle_over_strings(tasks, strings, seed=seed) for seed in (0, 1))
    assert first != other != tasks


# What would mean nothing


def test_states_that_do_not_vary_or_carry_no_gradient_and_twins_without_tasks_are_refused():
    seen = rows()
    still = Rows(torch.ones(32, 6, requires_grad=True), seen.tasks)
    with pytest.raises(BadInput, match="the same in all 32 rows"):
        penalty("contrastive")(still)
    with pytest.raises(BadInput, match="carry no gradient"):
        penalty("contrastive")(Rows(seen.states.detach(), seen.tasks))
    with pytest.raises(BadInput, match="needs tasks permuted over strings"):
        penalty("contrastive", seen.states, shuffled=True)(Rows(seen.states, seen.tasks))


# Reading states and prompting with them


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_states_are_those_of_the_pass_itself_and_gradients_flow_through_them(arch):
    net = model(arch).train()
    ids = torch.arange(12).reshape(2, 6)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    with watched(net, "block.0") as seen:
        output = net(ids, output_hidden_states=True)
    assert torch.equal(seen[0], output.hidden_states[1])
    seen[0].square().sum().backward()
    assert net.get_input_embeddings().weight.grad[:12].abs().sum() > 0
    after = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    assert sum(after) - sum(hooks) <= 4  # what transformers leaves after output_hidden_states


def test_a_donor_is_the_next_row_whose_label_is_the_rows_task():
    tasks = torch.tensor([0, 1, 0, 2])
    assert donors(tasks, tasks)[0].tolist() == [0, 1, 2, 3]
    donor, found = donors(torch.tensor([1, 0, 0, 1]), tasks)
    assert found.tolist() == [True, True, True, False]
    assert donor[:3].tolist() == [1, 3, 2]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_bare_prompt_given_its_own_states_has_the_loss_that_transformers_gives_it(arch):
    net = model(arch)
    ids = torch.tensor([[5, 6, 7, 8, 9, 0], [1, 2, 3, 4, 0, 0]])
    labels = torch.tensor([[-100, -100, -100, 8, 9, -100], [-100, -100, 3, 4, -100, -100]])
    start, bare = torch.tensor([2, 1]), torch.tensor([[7, 8, 9, 0], [2, 3, 4, 0]])
    bare_labels = torch.tensor([[-100, 8, 9, -100], [-100, 3, 4, -100]])
    expected = net(bare, labels=bare_labels).loss
    with watched(net, "block.0") as seen:
        net(bare)
    prompts = BarePrompts(net, "block.0", ids, labels, start)
    vectors = seen[0][:, 0].detach().requires_grad_()
    torch.testing.assert_close(prompts(vectors, torch.arange(2)), expected)
    # Left padding differs in nothing: a row begins at its position.
    left = BarePrompts(
        net,
        "block.0",
        ids.roll(1, 1),
        labels.roll(1, 1).where(torch.arange(6) > 0, -100),
        start + 1,
    )
    torch.testing.assert_close(left(vectors, torch.arange(2)), expected)
    one = net(bare[1:], labels=bare_labels[1:]).loss
    torch.testing.assert_close(prompts(vectors[1:], torch.tensor([1])), one)
    other = prompts(5 * vectors.flip(0), torch.arange(2))
    assert other.item() != pytest.approx(expected.item(), rel=1e-6)
    assert torch.autograd.grad(other, vectors)[0].abs().sum() > 0
