import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from intervene.handmade import handmade, rows
from nucleate import BadInput
from nucleate.findings import steering_verdict, steering_words
from nucleate.intervene import Steering, try_steering
from nucleate.prompts import PromptSet
from nucleate.training import ModelConfig, build_model

# Tokens: what opens a prompt, two kinds of words, and an answer to each kind; 46 ends a text.
BEGIN, REFUSED, ANSWERED, REFUSE, YES, END = 0, 2, 22, 44, 45, 46
DOSES = (0.5, 1.0, 2.0)


def requests(strings: int = 80, seed: int = 0) -> PromptSet:
    """Requests of three words that are all of one kind, each a string of its own."""
    rng = np.random.default_rng(seed)
    kinds = ["answer" if row % 2 else "refuse" for row in range(2 * strings)]
    starts = [ANSWERED if kind == "answer" else REFUSED for kind in kinds]
    words = [start + rng.choice(20, 3, replace=False) for start in starts]
    answers = [YES if kind == "answer" else REFUSE for kind in kinds]
    ids = [[BEGIN, *each, answer] for each, answer in zip(words, answers, strict=True)]
    records = [
        {"ids": one[:4], "kind": kind, "instruction": str(one[1:4])}
        for one, kind in zip(ids, kinds, strict=True)
    ]
    made = PromptSet.from_records(records, None, positions=("first", "last"))
    count = len(made)
    return replace(made, ids=np.array(ids, dtype=np.int32), lengths=np.full(count, 5))


@pytest.fixture(scope="module")
def net():
    """A model that was trained to refuse one kind, and to say yes to the other, then to end."""
    config = ModelConfig(depth=3, width=32, heads=2)
    model = build_model(config, vocab_size=47, max_length=32, seed=0)
    model.generation_config.eos_token_id = END
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    ids = torch.from_numpy(requests(100, seed=1).ids).long()
    ids = torch.cat([ids, torch.full((len(ids), 1), END)], 1)
    for _ in range(60):
        logits = model(ids).logits[:, 3:5]
        cross_entropy(logits.flatten(0, 1), ids[:, 4:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def found(net) -> Steering:
    return try_steering(net, requests(), label="kind", of="answer", to="refuse", doses=DOSES)


def of(found, edit, column="turned"):
    return found.table[found.table["edit"] == edit].set_index("dose")[column]


def test_what_a_model_was_trained_to_read_turns_it_and_the_verdict_says_so(found):
    assert found.about["turned_without"] == 0
    assert found.about["kept_without"] == 1
    assert of(found, "direction")[1.0] == 1
    assert of(found, "direction", "kept").tolist() == [1, 1, 1]
    assert of(found, "reverse").max() == 0
    assert of(found, "random")[1.0] < 0.3
    assert of(found, "direction", "excess_low").max() > 0.1
    assert steering_verdict(found) == "steers"


def test_reversed_it_takes_the_other_class_out_of_its_own_behavior(found):
    assert of(found, "reverse", "kept")[1.0] < 0.1


def test_the_chosen_place_can_tell_the_classes_and_no_direction_was_fitted_on_what_is_tried(found):
    assert found.about["position"] == "last"
    assert found.about["places_tried"] == 2 * 2  # not the embedding, nor the last block's output
    assert found.about["groups"] == 40
    assert found.about["fitted_prompts"] == 80
    assert found.about["readable"] > 0.95 > found.about["readable_permuted"]


def test_a_place_that_every_prompt_shares_steers_nothing(net):
    place = {"stream": "block.0", "position": "first"}
    none = try_steering(net, requests(), label="kind", of="answer", to="refuse", **place)
    assert of(none, "direction").max() == 0
    assert steering_verdict(none) == "does not steer"


def test_permuted_classes_steer_nothing(net):
    prompts = requests()
    kinds = tuple(np.random.default_rng(4).permutation(prompts.labels["kind"]).tolist())
    mixed = replace(prompts, labels=prompts.labels | {"mixed": kinds})
    none = try_steering(net, mixed, label="mixed", of="answer", to="refuse")
    assert steering_verdict(none) != "steers"


def test_few_prompts_decide_nothing_however_large_the_effect(net):
    few = try_steering(net, requests(strings=30), label="kind", of="answer", to="refuse")
    assert of(few, "direction")[1.0] == 1
    assert few.about["groups"] == 15
    assert steering_verdict(few) == "undecided"


def test_a_behavior_that_is_there_without_steering_cannot_be_added(net):
    turned = requests()
    ids = turned.ids.copy()
    ids[:, 4] = YES  # both classes are to answer yes, as class A does by itself
    same = replace(turned, ids=ids)
    none = try_steering(net, same, label="kind", of="answer", to="refuse")
    assert none.about["turned_without"] == 1
    assert steering_verdict(none) == "undecided"


def test_far_doses_are_beyond_natural_norms_and_the_words_say_it(net):
    far = try_steering(net, requests(), label="kind", of="answer", to="refuse", doses=[30.0])
    assert of(far, "direction", "beyond")[30.0] == 1
    assert steering_words(far)[-1] == (
        "steers (dose 30; most states are beyond natural norms there)"
    )


def test_other_classes_stay_as_they_are_where_a_direction_is_nothing_to_them():
    """The hand-made model reads a code of its task: task 2 and 3 have none of task 0's to lose."""
    found = try_steering(
        handmade(), rows(), label="task", of="task 0", to="task 1", doses=[0.25, 1.0],
        stream="block.1", position="last",
    )  # fmt: skip
    assert of(found, "direction").tolist() == [0, 1]
    assert of(found, "direction", "unchanged")[0.25] == 1
    assert of(found, "direction", "neither").max() == 0
    assert found.about["other_prompts"] == 2 * 5 * 4
    assert steering_verdict(found) == "undecided"  # two instruction strings


class Words:
    """Decodes as a tokenizer does."""

    def decode(self, ids, *, skip_special_tokens):
        assert skip_special_tokens
        names = {REFUSE: "no", YES: "yes", END: ""}
        return " ".join(names.get(token, f"w{token}") for token in ids).strip()


def test_a_generated_text_is_checked_by_a_pattern_and_its_loss_is_the_models_own(net):
    prompts = requests()
    found = try_steering(
        net, prompts, label="kind", of="answer", to="refuse", pattern="^no", tokenizer=Words(),
        tokens=3, doses=DOSES, rows=30,
    )  # fmt: skip
    assert found.about["turned_without"] == 0
    assert found.about["kept_without"] == 1
    assert of(found, "direction").max() == 1
    assert of(found, "reverse").max() == 0
    # What it says by itself it expects; what it is pushed to say it does not.
    assert found.about["loss_without"] < 0.5 < of(found, "direction", "loss")[2.0]
    assert math.isnan(of(found, "direction", "neither")[1.0])


def test_a_seed_decides_and_the_files_hold_all(net, found, tmp_path):
    again = try_steering(net, requests(), label="kind", of="answer", to="refuse", doses=DOSES)
    assert found.table.equals(again.table)
    found.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["steering.csv", "steering.json"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": "sort"}, "no label 'sort'"),
        ({"to": "refused"}, r"no prompt has kind 'refused' \(did you mean 'refuse'\?\)"),
        ({"of": "refuse"}, "both classes are 'refuse'"),
        ({"stream": "block.7"}, "no stream named 'block.7'"),
        ({"position": "middle"}, "no position named 'middle'"),
        ({"group": "family"}, "no label 'family'"),
        ({"doses": []}, "no dose is given"),
        ({"doses": [-1.0]}, r"a dose is -1\.0; give doses above 0"),
        ({"rows": 0}, "rows is 0"),
        ({"pattern": "("}, r"'\(' is no regular expression"),
        ({"pattern": "no"}, "name the tokenizer that decodes them"),
        ({"pattern": "no", "tokenizer": Words(), "tokens": 9000}, "exceed the model's"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(net, given, message):
    asked = {"label": "kind", "of": "answer", "to": "refuse"} | given
    prompts = replace(requests(), tokenizer_hash="")
    with pytest.raises(BadInput, match=message):
        try_steering(net, prompts, **asked)


def test_classes_of_too_few_prompts_or_of_long_answers_are_refused(net):
    with pytest.raises(BadInput, match="class A has 3 groups of prompts"):
        try_steering(net, requests(strings=3), label="kind", of="answer", to="refuse")
    prompts = requests()
    bare = replace(prompts, lengths=prompts.prompt_lengths)
    with pytest.raises(BadInput, match="answers of class B have 0 to 0 tokens"):
        try_steering(net, bare, label="kind", of="answer", to="refuse")
    with pytest.raises(BadInput, match="is in training mode"):
        try_steering(handmade().train(), rows(), label="task", of="task 0", to="task 1")
