import numpy as np
import pytest
import torch
from torch import nn

from models_store.manifest import ImageInput
from training.export import TrainedEncoder, encoder_graph
from training.networks import ResidualEncoder, embed
from training.precision import Converted, converted
from training.shapes import ResidualNetwork

SPEC = ImageInput(width=16, height=16, mode="L")


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    torch.manual_seed(0)
    return ResidualEncoder(SPEC.shape, ResidualNetwork(stem=8, widths=(16, 16), dimension=12))


def images(count, seed=0):
    return [(one,) for one in np.random.default_rng(seed).random((count, *SPEC.shape), np.float32)]


@pytest.mark.parametrize(("weights", "least"), [("float16", 0.999), ("int8", 0.95)])
def test_other_weights_embed_nearly_the_same_in_fewer_bytes(encoder, weights, least):
    graph = encoder_graph(TrainedEncoder(encoder, SPEC, images(2)))

    small = Converted(converted(graph, weights, images(40), SPEC))

    probes = images(20, seed=1)
    alike = (embed(small, probes, SPEC) * embed(encoder, probes, SPEC)).sum(axis=1)
    assert least < alike.min() < 1 + 1e-3
    assert not np.array_equal(embed(small, probes, SPEC), embed(encoder, probes, SPEC))
    assert small.graph.ByteSize() < graph.ByteSize()


def test_float32_is_left_as_it_is(encoder):
    graph = encoder_graph(TrainedEncoder(encoder, SPEC, images(2)))

    assert converted(graph, "float32", images(4), SPEC) is graph
