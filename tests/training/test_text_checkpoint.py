import json
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models_store.manifest import BundleRefused, TextInput
from models_store.preparation import preparation
from models_store.sample import SampleLimits
from tests.bundles import _sigmoid_head
from tests.training.checkpoints import CONFIG, write_checkpoint
from training.networks import embed
from training.text_checkpoint import (
    PACKAGE,
    SentenceEncoder,
    checkpoint_folder,
    open_checkpoint,
    read_safetensors,
    read_states,
)

IDS = torch.tensor([[5, 17, 290, 41, 8], [7, 7, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def by_torch(weights, config, first=0):
    """Return the token states by torch's own transformer, made of a checkpoint's weights."""
    width = config["hidden_size"]
    layer = nn.TransformerEncoderLayer(
        width,
        config["num_attention_heads"],
        config["intermediate_size"],
        dropout=0,
        activation="gelu",
        layer_norm_eps=config["layer_norm_eps"],
        batch_first=True,
    )
    encoder = nn.TransformerEncoder(
        layer, config["num_hidden_layers"], enable_nested_tensor=False
    ).eval()
    named = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    state = {}
    for i in range(config["num_hidden_layers"]):
        for part in ("weight", "bias"):
            begin = f"encoder.layer.{i}."
            for ours, theirs in named.items():
                state[f"layers.{i}.{ours}.{part}"] = weights[f"{begin}{theirs}.{part}"]
            state[f"layers.{i}.self_attn.in_proj_{part}"] = torch.cat(
                [weights[f"{begin}attention.self.{n}.{part}"] for n in ("query", "key", "value")]
            )
    encoder.load_state_dict(state)
    places = weights["embeddings.position_embeddings.weight"][first : first + IDS.shape[1]]
    summed = weights["embeddings.word_embeddings.weight"][IDS] + places
    summed = summed + weights["embeddings.token_type_embeddings.weight"][0]
    normed = nn.functional.layer_norm(
        summed,
        (width,),
        weights["embeddings.LayerNorm.weight"],
        weights["embeddings.LayerNorm.bias"],
        config["layer_norm_eps"],
    )
    with torch.no_grad():
        return encoder(normed, src_key_padding_mask=MASK == 0)


@pytest.mark.parametrize(
    ("prefix", "kind", "first"),
    [("", "bert", 0), ("bert.", "bert", 0), ("roberta.", "roberta", 2)],
)
def test_a_checkpoint_gives_the_states_that_torchs_own_transformer_gives(
    tmp_path, prefix, kind, first
):
    config = CONFIG | {"model_type": kind, "pad_token_id": 1}
    weights = write_checkpoint(tmp_path / "it", prefix, **config)

    with torch.no_grad():
        states = read_states(tmp_path / "it").eval()(IDS, MASK)

    there = MASK == 1
    assert torch.allclose(states[there], by_torch(weights, config, first)[there], atol=1e-5)


def test_pooling_is_the_mean_of_what_the_mask_has_or_the_first_token(tmp_path):
    write_checkpoint(tmp_path / "it")
    states = read_states(tmp_path / "it").eval()

    with torch.no_grad():
        mean, first = (SentenceEncoder(states, kind)(IDS, MASK) for kind in ("mean", "cls"))
        all_states = states(IDS, MASK)

    for row, count in enumerate((5, 3)):
        expected = all_states[row, :count].mean(0)
        assert torch.allclose(mean[row], expected / expected.norm(), atol=1e-5)
        assert torch.allclose(
            first[row], all_states[row, 0] / all_states[row, 0].norm(), atol=1e-5
        )


def test_padding_never_changes_an_embedding_of_a_checkpoint(tmp_path):
    write_checkpoint(tmp_path / "it")
    encoder = open_checkpoint(tmp_path / "it").encoder

    with torch.no_grad():
        padded, alone = encoder(IDS, MASK)[1], encoder(IDS[1:, :3], MASK[1:, :3])[0]

    assert torch.allclose(padded, alone, atol=1e-6)


def test_numbers_of_every_size_are_read_from_a_file_of_safetensors():
    numbers = {
        "F32": np.array([1.5, -2], "<f4").tobytes(),
        "F16": np.array([1.5, -2], "<f2").tobytes(),
        "BF16": np.array([1.5, -2], "<f4").view("<u4").__rshift__(16).astype("<u2").tobytes(),
        "I64": np.array([3, -2], "<i8").tobytes(),
    }
    header, content = {}, b""
    for kind, raw in numbers.items():
        ends = [len(content), len(content) + len(raw)]
        header[kind] = {"dtype": kind, "shape": [2], "data_offsets": ends}
        content += raw
    text = json.dumps(header).encode()

    found = read_safetensors(len(text).to_bytes(8, "little") + text + content)

    for kind in ("F32", "F16", "BF16"):
        assert found[kind].tolist() == [1.5, -2]
    assert found["I64"].tolist() == [3, -2]


def other(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def gone(name):
    return lambda folder: (folder / name).unlink()


def altered(**config):
    return other("config.json", json.dumps(CONFIG | config).encode())


MODULE = "sentence_transformers.models."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(gone("config.json"), "config.json: expected JSON", id="no config"),
        pytest.param(gone("tokenizer.json"), "expected a tokenizer", id="no tokenizer"),
        pytest.param(gone("model.safetensors"), "expected model.safetensors", id="no weights"),
        pytest.param(other("model.safetensors", b"PK" * 20), "file of safetensors", id="a zip"),
        pytest.param(altered(model_type="t5"), "expected a model of bert", id="another kind"),
        pytest.param(altered(hidden_act="swish"), "'swish' is not known", id="activation"),
        pytest.param(altered(num_hidden_layers=3), "no weights of layers.2", id="more layers"),
        pytest.param(altered(vocab_size=301), "not of the size", id="another size"),
        pytest.param(
            altered(position_embedding_type="relative_key"), "absolute positions", id="positions"
        ),
        pytest.param(
            other("modules.json", json.dumps([{"type": f"{MODULE}Dense", "path": ""}]).encode()),
            "what Dense does is not known",
            id="a further layer",
        ),
        pytest.param(
            other("1_Pooling/config.json", b'{"pooling_mode_max_tokens": true}'),
            "pooling by pooling_mode_max_tokens is not known",
            id="pooling",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused_with_a_reason(tmp_path, change, reason):
    write_checkpoint(tmp_path / "it")
    change(tmp_path / "it")

    with pytest.raises(BundleRefused, match=reason):
        open_checkpoint(tmp_path / "it")


def test_weights_as_torch_saves_them_are_read_too(tmp_path):
    weights = write_checkpoint(tmp_path / "it")
    expected = read_states(tmp_path / "it").state_dict()
    (tmp_path / "it" / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "it" / "pytorch_model.bin")

    found = read_states(tmp_path / "it").state_dict()

    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kinds", [False, True])
def test_a_checkpoint_that_is_an_onnx_graph_embeds_as_its_weights_do(tmp_path, pooling, kinds):
    write_checkpoint(tmp_path / "it")
    chosen = f"pooling_mode_{'mean_tokens' if pooling == 'mean' else 'cls_token'}"
    (tmp_path / "it" / "1_Pooling" / "config.json").write_text(json.dumps({chosen: True}))
    expected = open_checkpoint(tmp_path / "it").encoder(IDS, MASK).detach()
    states = read_states(tmp_path / "it").eval()
    (tmp_path / "it" / "onnx").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            WithKinds(states) if kinds else states,
            (IDS, MASK, torch.zeros_like(IDS))[: 2 + kinds],
            tmp_path / "it" / "onnx" / "model.onnx",
            input_names=["input_ids", "attention_mask", "token_type_ids"][: 2 + kinds],
            output_names=["last_hidden_state"],
            dynamic_axes={"input_ids": {0: "n", 1: "t"}, "attention_mask": {0: "n", 1: "t"}},
            dynamo=False,
        )
    (tmp_path / "it" / "model.safetensors").unlink()

    found = open_checkpoint(tmp_path / "it").encoder(IDS, MASK)

    assert torch.allclose(found, expected, atol=1e-5)


class WithKinds(nn.Module):
    """Token states that also ask for the kinds of tokens, and change with them."""

    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.states(input_ids, attention_mask) + token_type_ids.unsqueeze(2)


def test_an_onnx_graph_with_other_ports_is_refused(tmp_path):
    write_checkpoint(tmp_path / "it")
    (tmp_path / "it" / "model.safetensors").unlink()
    onnx.save(_sigmoid_head(1.0, 1.0), tmp_path / "it" / "model.onnx")

    with pytest.raises(BundleRefused, match="expected input_ids and attention_mask, got distance"):
        open_checkpoint(tmp_path / "it")


def test_the_packaged_model_embeds_as_the_original_does():
    """The figures are those of transformers 5.23 with the mean that the model's card tells."""
    try:
        folder = checkpoint_folder(None)
    except BundleRefused:
        pytest.skip(f"{PACKAGE} is not installed")
    found = open_checkpoint(folder)
    spec = TextInput(max_tokens=found.max_tokens)
    prepare = preparation(spec, SampleLimits(), lambda _: found.tokenizer)
    texts = ["A man with a hard hat is dancing.", "A man wearing a hard hat is dancing."]

    embeddings = embed(found.encoder, [prepare(text.encode()) for text in texts], spec)

    expected = [
        [0.029719, -0.060040, -0.009815, -0.026689],
        [0.026557, -0.054652, -0.006427, -0.033218],
    ]
    assert embeddings[:, :4] == pytest.approx(np.array(expected), abs=1e-5)
