import json
import shutil

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from models_store import BundleRefused, Sample, open_bundle, open_shelf
from models_store.bundle import MOST_CARD
from models_store.manifest import MANIFEST_NAME, Manifest
from tests.bundles import make_bundle, read_fields, write_manifest


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path)


def refusal(folder):
    with pytest.raises(BundleRefused) as refused:
        open_bundle(folder)
    return str(refused.value)


def test_a_whole_bundle_opens_and_its_digest_is_that_of_its_manifest(bundle):
    comparator = open_bundle(bundle)

    assert comparator.title == "tiny@1"
    assert len(comparator.digest) == 64
    assert comparator.provider == "CPUExecutionProvider"
    assert comparator.cohort.shape == (60, 8)
    assert np.allclose(np.linalg.norm(comparator.cohort, axis=1), 1)


@pytest.mark.parametrize(
    "name", ["encoder.onnx", "head.onnx", "cohort.npz", "test_vectors.npz", "card.md"]
)
def test_one_flipped_byte_in_any_file_refuses_the_bundle(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)

    assert name in refusal(bundle)


@pytest.mark.parametrize("name", ["encoder.onnx", "cohort.npz", "card.md"])
def test_a_missing_file_refuses_the_bundle(bundle, name):
    (bundle / name).unlink()

    assert name in refusal(bundle)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("short <b>", "# tiny\n\nshort <b>\n"),
        ("é" * 70_000, f"# tiny\n\n{'é' * (MOST_CARD - 9)}…"),
    ],
    ids=["short", "long"],
)
def test_a_card_is_kept_as_text_and_of_a_long_one_the_beginning(tmp_path, written, shown):
    found = open_bundle(make_bundle(tmp_path, card=written)).card

    assert found == shown
    assert len(found) <= MOST_CARD


def test_a_file_that_the_manifest_does_not_list_refuses_the_bundle(bundle):
    (bundle / "weights.pkl").write_bytes(b"\x80\x04.")

    assert "weights.pkl" in refusal(bundle)


def test_a_link_in_place_of_a_file_refuses_the_bundle(bundle, tmp_path):
    shutil.move(bundle / "encoder.onnx", tmp_path / "elsewhere.onnx")
    (bundle / "encoder.onnx").symlink_to(tmp_path / "elsewhere.onnx")

    assert "regular file" in refusal(bundle)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("distance", "hamming"),
        ("head", {"weight": -1.0, "bias": 0.0}),
        ("operating_points", []),
        ("surprise", 1),
    ],
)
def test_a_manifest_outside_the_schema_is_refused_by_the_name_of_the_field(bundle, field, value):
    fields = read_fields(bundle) | {field: value}
    (bundle / MANIFEST_NAME).write_text(json.dumps(fields))

    assert field in refusal(bundle)


def test_a_bundle_without_a_manifest_or_with_broken_json_is_refused(bundle):
    (bundle / MANIFEST_NAME).write_text("{")
    assert MANIFEST_NAME in refusal(bundle)

    (bundle / MANIFEST_NAME).unlink()
    assert MANIFEST_NAME in refusal(bundle)


def test_other_weights_than_the_test_vectors_were_made_with_are_refused(bundle, tmp_path):
    other = make_bundle(tmp_path / "other", seed=1)
    shutil.copy(other / "encoder.onnx", bundle / "encoder.onnx")
    write_manifest(bundle, read_fields(bundle))

    assert "does not reproduce its test vectors" in refusal(bundle)


def test_another_input_size_than_the_encoder_has_is_refused(bundle):
    fields = read_fields(bundle)
    for encoder in fields["encoders"].values():
        encoder["input"]["width"] = 13
    write_manifest(bundle, fields)

    assert "(batch, 1, 12, 13)" in refusal(bundle)


def test_a_head_that_is_not_the_manifests_sigmoid_is_refused(bundle):
    fields = read_fields(bundle)
    fields["head"]["bias"] += 1
    write_manifest(bundle, fields)

    assert "sigmoid" in refusal(bundle)


def test_random_bytes_as_a_model_are_refused(bundle):
    (bundle / "encoder.onnx").write_bytes(b"not a model")
    write_manifest(bundle, read_fields(bundle))

    assert "expected an ONNX file" in refusal(bundle)


def test_strangers_may_come_in_groups(bundle):
    assert open_bundle(bundle).cohort_groups is None
    with np.load(bundle / "cohort.npz") as arrays:
        kept = dict(arrays)
    np.savez(bundle / "cohort.npz", **kept, groups=np.arange(60) % 3)
    write_manifest(bundle, read_fields(bundle))

    assert open_bundle(bundle).cohort_groups.tolist() == [0, 1, 2] * 20

    np.savez(bundle / "cohort.npz", **kept, groups=np.zeros(59))
    write_manifest(bundle, read_fields(bundle))
    assert "expected 60 whole numbers as groups" in refusal(bundle)


def test_a_cohort_of_pickled_objects_is_never_opened(bundle):
    np.savez(bundle / "cohort.npz", identities=np.array([{}]), embeddings=np.array([{}]))
    write_manifest(bundle, read_fields(bundle))

    assert "plain arrays" in refusal(bundle)


def test_cuda_is_refused_where_there_is_none(bundle):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")

    with pytest.raises(BundleRefused, match="cuda"):
        open_bundle(bundle, device="cuda")


def test_a_refused_bundle_leaves_the_others_served(tmp_path):
    make_bundle(tmp_path, "good")
    (make_bundle(tmp_path, "bad") / "card.md").write_text("changed")
    make_bundle(tmp_path, "moved").rename(tmp_path / "good" / "7")

    shelf = open_shelf(tmp_path)

    assert list(shelf.comparators) == ["good@1"]
    assert {r.bundle: r.reason.split()[0] for r in shelf.refusals} == {
        "bad/1": "card.md",
        "good/7": "the",
    }


def test_two_encoders_are_two_functions(tmp_path):
    folder = make_bundle(tmp_path, sides=("encoder_a.onnx", "encoder_b.onnx"))
    comparator = open_bundle(folder)
    inputs = [(one,) for one in np.random.default_rng(0).random((3, 1, 12, 12), np.float32)]

    a, b = comparator.embed(inputs, "a"), comparator.embed(inputs, "b")

    assert not np.allclose(a, b, atol=0.1)
    assert not comparator.manifest.tied


def test_swapping_the_two_encoders_refuses_the_bundle(tmp_path):
    folder = make_bundle(tmp_path, sides=("encoder_a.onnx", "encoder_b.onnx"))
    (folder / "encoder_a.onnx").rename(folder / "other")
    (folder / "encoder_b.onnx").rename(folder / "encoder_a.onnx")
    (folder / "other").rename(folder / "encoder_b.onnx")
    write_manifest(folder, read_fields(folder))

    assert "does not reproduce its test vectors" in refusal(folder)


def test_identical_samples_score_at_least_as_high_as_any_other_pair(bundle):
    comparator = open_bundle(bundle)

    scores = comparator.score(np.linspace(0, 2, 50))

    assert (np.diff(scores) < 0).all()
    assert scores[0] == scores.max()


@pytest.mark.parametrize(
    ("distance", "metric"), [("cosine", "cosine"), ("l2", "euclidean"), ("l1", "cityblock")]
)
def test_distances_are_those_of_scipy(tmp_path, distance, metric):
    comparator = open_bundle(make_bundle(tmp_path, distance=distance))
    a, b = np.random.default_rng(0).normal(size=(2, 50, 8)).astype(np.float32)
    if distance == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))

    found = comparator.distance(a, b)

    assert np.allclose(found, np.diag(cdist(a, b, metric)), atol=1e-6)


def test_a_sample_of_another_modality_is_refused(bundle):
    from models_store import WrongModality

    with pytest.raises(WrongModality, match="image"):
        open_bundle(bundle).prepare(Sample(b"hello", "text"))


def test_two_encoders_bring_strangers_of_both_sides(tmp_path):
    folder = make_bundle(tmp_path, sides=("encoder_a.onnx", "encoder_b.onnx"))

    comparator = open_bundle(folder)

    assert comparator.cohorts["a"].shape == comparator.cohorts["b"].shape == (60, 8)
    assert not np.allclose(comparator.cohorts["a"], comparator.cohorts["b"], atol=0.1)


def test_two_encoders_with_strangers_of_one_side_are_refused(tmp_path):
    folder = make_bundle(tmp_path, sides=("encoder_a.onnx", "encoder_b.onnx"))
    with np.load(folder / "cohort.npz") as arrays:
        kept = {name: arrays[name] for name in ("identities", "embeddings")}
    np.savez(folder / "cohort.npz", **kept)
    write_manifest(folder, read_fields(folder))

    assert refusal(folder) == "cohort.npz: expected identities and embeddings_b"


def test_a_direction_that_was_not_measured_has_no_calibration(tmp_path):
    folder = make_bundle(tmp_path, sides=("encoder_a.onnx", "encoder_b.onnx"))
    fields = read_fields(folder) | {"calibration": {"rule": "mean"}}

    manifest = Manifest.model_validate(fields)
    siamese = Manifest.model_validate(
        fields | {"encoders": dict.fromkeys("ab", fields["encoders"]["a"])}
    )

    assert manifest.calibration_of("a").rule == "mean"
    assert manifest.calibration_of("b").rule == "max"
    assert siamese.calibration_of("b").rule == "mean"
