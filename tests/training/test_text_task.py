import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models_store.bundle import open_bundle
from models_store.manifest import TextInput
from models_store.preparation import preparation
from models_store.sample import SampleLimits
from tests.training.checkpoints import TEXTS, write_checkpoint
from tests.training.test_export import export
from training.export import TrainedEncoder
from training.fit import fitted
from training.networks import build
from training.recipe import read_recipe
from training.shapes import BertLstmNetwork, TextNetwork
from training.text_networks import TextEncoder
from training.text_task import CoSent, ShuffledRows, read_split, tokenizer_of

SPEC = TextInput(max_tokens=32, overlap=8)
RECIPE = """
name = "wordings"
version = "1"
description = "Sentences, for tests"
licence = "MIT"
seed = 3

[data]
name = "Sentences"
licence = "MIT"
url = "https://example.org"
root = "."

[data.pairs]
train = ["train.tsv"]
val = ["val.tsv"]
same_from = 0.9

[input]
kind = "text"
max_tokens = 32
overlap = 8

[network]
{network}

[batches]
labels = 32
samples = 1

[augmentation]

[[losses]]
kind = "cosent"

[optimisation]
epochs = {epochs}
learning_rate = 5e-3
validate_every = 1
average_decay = 0.8
"""
SMALL = 'kind = "text-conv"\nvocabulary = 300\nwidth = 24\ndimension = 16\ndropout = 0.1'
pairs_of_figures = st.lists(
    st.tuples(st.floats(-1, 1), st.sampled_from([0.0, 0.4, 1.0])), min_size=2, max_size=8
)


@pytest.fixture
def sentences(tmp_path):
    """Write pairs that are alike by who acts, a little by on what; return their folder."""
    random = np.random.default_rng(0)
    for split, count in (("train", 256), ("val", 200)):
        lines = ["sentence1\tsentence2\tscore"]
        for _ in range(count):
            a, b = random.choice(TEXTS, 2, replace=False)
            who, what = (a.split()[word] == b.split()[word] for word in (1, 4))
            lines.append(f"{a}\t{b}\t{5 if who else 2 * what}")
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines))
    return tmp_path


def write_recipe(folder, network=SMALL, epochs=20):
    (folder / "recipe.toml").write_text(RECIPE.format(network=network, epochs=epochs))
    return folder / "recipe.toml"


@given(pairs_of_figures, st.sampled_from([1.0, 5.0]))
def test_cosent_is_the_sum_over_pairs_in_the_wrong_order(rows, scale):
    cosines, scores = (list(column) for column in zip(*rows, strict=True))

    loss = CoSent(scale)(torch.tensor(cosines), torch.tensor(scores)).item()

    terms = [
        math.exp(scale * (c - d))
        for c, s in zip(cosines, scores, strict=True)
        for d, t in zip(cosines, scores, strict=True)
        if s < t
    ]
    assert loss == pytest.approx(math.log1p(sum(terms)), rel=1e-4, abs=1e-5)


def test_cosent_of_pairs_scored_alike_is_nothing_and_has_a_gradient_of_nothing():
    cosines = torch.tensor([0.1, 0.9], requires_grad=True)

    loss = CoSent()(cosines, torch.tensor([0.5, 0.5]))
    loss.backward()

    assert loss.item() == 0
    assert cosines.grad.tolist() == [0, 0]


def test_an_epoch_has_each_row_once_in_an_order_that_its_number_decides():
    batches = ShuffledRows(10, 3, seed=1)

    first, again, second = (
        np.concatenate(list(batches.epoch(number))).tolist() for number in (0, 0, 1)
    )

    assert len(batches) == 3
    assert first == again != second
    assert len(set(first)) == 9
    assert set(first) < set(range(10))


def test_rare_tokens_begin_to_weigh_more():
    encoder = TextEncoder(TextNetwork(vocabulary=300, width=8, dimension=4))

    encoder.weigh([np.array([1, 2]), np.array([1, 3, 3]), np.array([1, 3])])

    often, seldom, sometimes, never = encoder.weights.weight[[1, 2, 3, 4], 0].tolist()
    assert often == pytest.approx(0)
    assert often < sometimes < seldom < never
    assert seldom == pytest.approx(1.5 * math.log(1 + math.log(4 / 2)))


def test_a_recipe_of_judged_pairs_becomes_a_bundle_that_orders_new_ones(run, sentences):
    recipe, data = write_recipe(sentences), ("--data", sentences)

    run("fit", recipe, *data, "--out", sentences / "run")
    run("export", recipe, *data, "--run", sentences / "run", "--out", sentences / "bundle")
    told = run("evaluate-pairs", sentences / "bundle", sentences / "val.tsv", "--same-from", 4)

    history = json.loads((sentences / "run" / "history.json").read_text())
    assert history[-1]["spearman"] > max(0.7, history[0]["spearman"])
    comparator = open_bundle(sentences / "bundle")
    figures = {metric.name: metric.value for metric in comparator.manifest.metrics}
    assert figures["spearman"] == pytest.approx(history[-1]["spearman"], abs=1e-3)
    assert f"{figures['spearman']:.4f}" in told
    assert figures["pair auc"] > 0.9
    assert (comparator.title, comparator.manifest.provenance.seed) == ("wordings@1", 3)
    assert comparator.manifest.encoders["a"].modality == "text"


def test_pairs_that_are_held_out_train_nothing(sentences):
    (sentences / "train.tsv").write_text(
        (sentences / "train.tsv").read_text()
        + "\n"
        + "\n".join((sentences / "val.tsv").read_text().splitlines()[1:])
    )
    recipe = read_recipe(write_recipe(sentences))

    train, val = (read_split(recipe, sentences, split) for split in ("train", "val"))

    def named(pairs):
        return {frozenset(row[:2]) for row in pairs.rows}

    assert named(val)
    assert not named(train) & named(val)
    assert (train.scores.min(), train.scores.max()) == (0, 1)


@pytest.mark.parametrize("tuned", [False, True])
def test_a_checkpoint_under_an_lstm_learns_and_stays_as_it_is_unless_tuned(run, sentences, tuned):
    write_checkpoint(sentences / "checkpoint")
    network = (
        f'kind = "bert-lstm"\ncheckpoint = "{sentences / "checkpoint"}"\n'
        f"tuned = {str(tuned).lower()}\nhidden = 12\ndimension = 10"
    )
    recipe = write_recipe(sentences, network, epochs=2)

    run("fit", recipe, "--data", sentences, "--out", sentences / "run")

    trained = fitted(read_recipe(recipe), sentences / "run")
    tokenizer = tokenizer_of(read_recipe(recipe), sentences)
    prepare = preparation(SPEC, SampleLimits(), lambda _: tokenizer)
    examples = [prepare(text.encode()) for text in (*TEXTS[:3], "A man.", " ".join(TEXTS[:9]))]
    export(
        sentences / "bundle",
        TrainedEncoder(trained, SPEC, examples, tokenizer),
        distance="cosine",
        normalised=True,
        cohort=np.eye(10, dtype=np.float32),
    )
    untouched = BertLstmNetwork(checkpoint=sentences / "checkpoint", hidden=12, dimension=10)
    before = build(untouched, SPEC)
    query = "states.layers.0.query.weight"
    assert torch.equal(trained.state_dict()[query], before.state_dict()[query]) != tuned
    assert not torch.equal(trained.project.weight, before.project.weight)


def test_padding_never_changes_an_embedding_of_a_checkpoint_under_an_lstm(tmp_path):
    write_checkpoint(tmp_path / "it")
    torch.manual_seed(0)
    network = BertLstmNetwork(checkpoint=tmp_path / "it", hidden=7, dimension=5)
    encoder = build(network, SPEC).eval()
    ids = torch.tensor([[5, 17, 290, 41, 8], [7, 9, 3, 1, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])

    with torch.no_grad():
        padded, alone = encoder(ids, mask), encoder(ids[1:, :3], mask[1:, :3])
        other_way = encoder(ids[1:, :3].flip(1), mask[1:, :3])

    assert torch.allclose(padded[1], alone[0], atol=1e-6)
    assert not torch.allclose(other_way[0], alone[0], atol=1e-3)


def test_the_lstm_goes_both_ways_as_torchs_own_does(tmp_path):
    write_checkpoint(tmp_path / "it")
    network = BertLstmNetwork(checkpoint=tmp_path / "it", hidden=7, dimension=5)
    encoder = build(network, SPEC).eval()
    both = torch.nn.LSTM(24, 7, batch_first=True, bidirectional=True)
    both.load_state_dict(
        encoder.forwards.state_dict()
        | {f"{name}_reverse": values for name, values in encoder.backwards.state_dict().items()}
    )
    ids, mask = torch.tensor([[5, 17, 290]]), torch.ones(1, 3, dtype=torch.long)

    with torch.no_grad():
        pooled = both(encoder.states(ids, mask))[0].mean(1)
        expected = torch.nn.functional.normalize(encoder.project(pooled), dim=1)
        found = encoder(ids, mask)

    assert torch.allclose(found, expected, atol=1e-6)
