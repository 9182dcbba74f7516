import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from models_store.manifest import ImageInput, TextInput
from models_store.preparation import preparation, together
from models_store.sample import Sample, SampleLimits
from tests.training.test_export import export
from training.export import TrainedEncoder, encoder_graph
from training.networks import build, embed
from training.precision import Converted, converted
from training.shapes import TextNetwork
from training.text_networks import TextEncoder, train_tokenizer

TEXTS = [
    "A man is playing a flute.",
    "A woman is cutting an onion.",
    "Two dogs run over the grass, and a man is looking.",
    "The flute is played by a man, and a dog looks on.",
]
SPEC = TextInput(max_tokens=24, overlap=4)
VOCABULARY = 300
NETWORK = TextNetwork(vocabulary=VOCABULARY, width=16, layers=2, dimension=6, dropout=0.3)
TOKENIZER = train_tokenizer(TEXTS, VOCABULARY)
PREPARE = preparation(SPEC, SampleLimits(), lambda _: TOKENIZER)

token_ids = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12)


def moved(network=NETWORK, seed=0):
    """Return an encoder whose layers all do something, as after a fit."""
    torch.manual_seed(seed)
    encoder = TextEncoder(network)
    for weight in encoder.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return encoder.eval()


@settings(max_examples=50, deadline=None)
@given(st.lists(token_ids, min_size=1, max_size=4), st.integers(1, 30), st.integers(0, 299))
def test_padding_never_changes_an_embedding(texts, padding, token):
    encoder = moved()
    given = together(SPEC, [np.array(text, np.int64) for text in texts])
    ids, mask = (torch.from_numpy(values) for values in given.values())
    more = torch.full((len(texts), padding), token)

    with torch.inference_mode():
        alone = torch.cat([encoder(*as_batch(text)) for text in texts])
        padded = encoder(torch.cat([ids, more], 1), torch.cat([mask, torch.zeros_like(more)], 1))

    assert padded.numpy() == pytest.approx(alone.numpy(), abs=1e-5)


def as_batch(ids):
    return torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long)


def test_the_order_of_tokens_counts_once_the_layers_have_learnt():
    encoder = moved()

    forwards, backwards = (encoder(*as_batch(ids)) for ids in ([40, 50, 60], [60, 50, 40]))

    assert (forwards - backwards).abs().max() > 1e-3


def test_a_new_encoder_holds_texts_of_the_same_words_for_the_same():
    torch.manual_seed(0)
    encoder = TextEncoder(NETWORK.model_copy(update={"dimension": 16})).eval()

    forwards, backwards, others = (
        encoder(*as_batch(ids)) for ids in ([40, 50, 60], [60, 50, 40], [41, 51, 61])
    )

    assert (forwards * backwards).sum().item() == pytest.approx(1, abs=1e-5)
    assert (forwards * others).sum().item() < 0.7


def test_every_weight_of_the_net_learns():
    encoder = moved().train()

    encoder(*as_batch([40, 50, 60])).square()[:, :3].sum().backward()

    assert all(weight.grad.abs().max() > 0 for weight in encoder.parameters())


def test_a_text_encoder_becomes_a_bundle_that_embeds_as_torch_does(tmp_path):
    encoder = build(NETWORK, SPEC)
    examples = [PREPARE(text.encode()) for text in (*TEXTS, " ".join(TEXTS))]

    comparator = export(
        tmp_path / "bundle",
        TrainedEncoder(encoder, SPEC, examples, TOKENIZER),
        distance="cosine",
        normalised=True,
    )

    texts = ["Dogs.", "Nobody plays the flute but a man and his dog, over and over. " * 3]
    inputs = [comparator.prepare(sample_of(text)) for text in texts]
    assert [len(windows) > 1 for windows in inputs] == [False, True]
    assert comparator.embed(inputs) == pytest.approx(embed(encoder, inputs, SPEC), abs=1e-5)


def sample_of(text):
    return Sample(text.encode(), "text")


@given(st.text(max_size=40))
def test_whatever_is_written_is_encoded_and_read_back(text):
    tokenizer = Tokenizer.from_str(TOKENIZER.decode())

    ids = tokenizer.encode(text).ids

    normal = tokenizer.normalizer.normalize_str(text)
    assert tokenizer.decode(ids).strip() == normal.strip() or text == "[PAD]"
    assert all(0 <= token < VOCABULARY for token in ids)


def test_the_same_texts_give_the_same_tokenizer():
    assert train_tokenizer(iter(TEXTS), VOCABULARY) == TOKENIZER
    assert train_tokenizer(TEXTS[:2], VOCABULARY) != TOKENIZER


def test_a_tokenizer_has_as_many_tokens_as_asked_and_words_among_them():
    vocabulary = json.loads(TOKENIZER)["model"]["vocab"]

    assert len(vocabulary) == VOCABULARY
    assert vocabulary["[PAD]"] == 0
    assert "Ġman" in vocabulary


def test_case_is_one_unless_it_is_to_count():
    upper, lower = "A MAN", "a man"
    kept = Tokenizer.from_str(train_tokenizer(TEXTS, VOCABULARY, lowercase=False).decode())
    one = Tokenizer.from_str(TOKENIZER.decode())

    assert one.encode(upper).ids == one.encode(lower).ids
    assert kept.encode(upper).ids != kept.encode(lower).ids


def test_a_vocabulary_too_small_for_the_bytes_is_said_to_be():
    with pytest.raises(ValueError, match="more than 256"):
        train_tokenizer(TEXTS, 256)


def test_a_network_of_text_takes_no_image():
    with pytest.raises(ValueError, match="text-conv takes no image"):
        build(NETWORK, ImageInput(width=16, height=16))


def test_weights_in_integers_embed_nearly_the_same_and_alone_as_in_a_batch():
    encoder = moved(NETWORK.model_copy(update={"width": 64, "dimension": 32}))
    inputs = [PREPARE(text.encode()) for text in (*TEXTS, "A dog.", "The flute.")]
    graph = encoder_graph(TrainedEncoder(encoder, SPEC, inputs, TOKENIZER))

    small = Converted(converted(graph, "int8", inputs, SPEC))

    found, whole = embed(small, inputs, SPEC), embed(encoder, inputs, SPEC)
    alone = np.concatenate([embed(small, [one], SPEC) for one in inputs])
    assert found == pytest.approx(alone, abs=1e-5)
    assert 0.99 < (found * whole).sum(axis=1).min() < 1
    assert small.graph.ByteSize() < 0.4 * graph.ByteSize()
