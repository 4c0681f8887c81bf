import pytest
import torch

from nucleate import BadInput
from nucleate.training import ModelConfig, build_model
from small import ARCHITECTURES, model


@pytest.mark.parametrize("arch", [*ARCHITECTURES, "qwen2", "mistral", "opt", "olmo2"])
def test_common_sizes_reach_every_architecture(arch):
    net = model(arch, depth=3, width=24, heads=4)
    assert net.config.num_hidden_layers == 3
    assert net.config.hidden_size == 24
    assert net.config.num_attention_heads == 4
    assert net(torch.tensor([[1, 2, 3]])).logits.shape[:2] == (1, 3)
    # An MLP width that is left alone would be thousands.
    assert max(max(p.shape) for n, p in net.named_parameters() if "embed" not in n) <= 8 * 24


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_dropout_is_what_the_config_says_and_not_the_architectures_default(arch):
    net = model(arch).train()
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(net(ids).logits, net(ids).logits)


def test_a_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first, again, other = model(seed=1), model(seed=1), model(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": "lama"}, "model.arch 'lama' is no architecture"),
        ({"arch": "bert", "extra": {"nonsense": 1}}, "'nonsense'"),
        ({"arch": "t5"}, "model.arch 't5'"),
        ({"width": 10, "heads": 4}, "model.width 10 is not a multiple of model.heads 4"),
        ({"extra": {"rope": 3}}, "model.extra has 'rope'"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings, message):
    with pytest.raises(BadInput, match=message):
        build_model(ModelConfig(**settings), vocab_size=20, max_length=16, seed=0)


def test_the_architectures_own_settings_can_be_reached():
    net = model(extra={"tie_word_embeddings": True})
    assert net.lm_head.weight is net.model.embed_tokens.weight


def test_the_initial_scale_multiplies_matrices_and_leaves_the_rest():
    plain, scaled = model(seed=3), model(seed=3, init_scale=0.25)
    for (name, before), after in zip(plain.named_parameters(), scaled.parameters(), strict=True):
        factor = 0.25 if before.dim() > 1 else 1.0
        assert torch.allclose(after, factor * before), name


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_activation_is_the_one_that_the_blocks_compute(arch):
    ids = torch.tensor([[1, 2, 3]])
    plain, other = model(arch, seed=3), model(arch, seed=3, activation="relu")
    assert not torch.allclose(plain(ids).logits, other(ids).logits)
    assert any(type(module).__name__.lower().startswith("relu") for module in other.modules())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "wavy"}, "model.activation 'wavy' is none that transformers knows"),
        ({"arch": "bloom", "activation": "relu"}, "cannot be chosen"),
    ],
)
def test_an_activation_that_cannot_be_had_is_refused_in_a_sentence(settings, message):
    with pytest.raises(BadInput, match=message):
        model(**settings)
