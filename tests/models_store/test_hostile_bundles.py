"""Twenty attacks by a bundle, each refused with its reason, and none of them a process lost."""

import io
import json
import os
import shutil
import signal
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models_store import Shelf, TrialLimits, open_shelf
from models_store.graph import DOMAINS, OPERATORS
from models_store.manifest import MANIFEST_NAME
from tests.bundles import OPSET, make_bundle, read_fields, write_manifest
from tests.refusals import processes

SMALL = TrialLimits(seconds=20, memory=2**30)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "shelf")


def opened(bundle: Path, trial: TrialLimits | None = None, **options: int) -> Shelf:
    return open_shelf(bundle.parent.parent, trial=trial, **options)


def refusal(bundle: Path, trial: TrialLimits | None = None) -> str:
    """Return why the one bundle on a shelf is refused; without a trial, by what it is alone."""
    shelf = opened(bundle, trial)
    assert shelf.comparators == {}
    (refused,) = shelf.refusals
    assert refused.reason.isprintable()
    assert len(refused.reason) <= 500
    return refused.reason


def put(bundle: Path, name: str, content: bytes) -> None:
    """Write a file as an attacker would: with a manifest that gives its digest."""
    (bundle / name).write_bytes(content)
    write_manifest(bundle, read_fields(bundle))


def with_encoder(bundle: Path, change) -> Path:
    """Change the graph of a bundle's encoder, and give its digest."""
    model = onnx.load(bundle / "encoder.onnx")
    change(model)
    put(bundle, "encoder.onnx", model.SerializeToString())
    return bundle


def before(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Put nodes in front of a graph's own."""
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])


def test_a_bundle_that_keeps_its_word_passes_its_trial(bundle: Path) -> None:
    shelf = opened(bundle, SMALL)

    assert list(shelf.comparators) == ["tiny@1"]
    assert (shelf.refusals, shelf.warnings) == ((), ())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 9}', b"\xff\xfe"])
def test_b1_a_manifest_that_is_none(bundle: Path, content: bytes) -> None:
    (bundle / MANIFEST_NAME).write_bytes(content)

    assert refusal(bundle).startswith(MANIFEST_NAME)


@pytest.mark.parametrize(
    "name", ["../encoder.onnx", "/etc/hostname", "sub/encoder.onnx", "..", "a\0b", "-rf", "\u202e"]
)
def test_b1_a_manifest_that_lists_files_elsewhere(bundle: Path, name: str) -> None:
    fields = read_fields(bundle)
    fields["files"][name] = "0" * 64
    (bundle / MANIFEST_NAME).write_text(json.dumps(fields))

    assert "String should match pattern" in refusal(bundle)


def test_b1_a_manifest_of_a_gigabyte_and_one_nested_without_end(bundle: Path) -> None:
    with (bundle / MANIFEST_NAME).open("ab") as manifest:
        manifest.truncate(2**30)
    assert "more bytes" in refusal(bundle)

    (bundle / MANIFEST_NAME).write_text('{"provenance": {"recipe":' + '{"a":' * 100_000)
    assert refusal(bundle).startswith(MANIFEST_NAME)


def test_b2_any_other_byte_in_a_file_is_refused_before_it_is_tried(bundle: Path) -> None:
    content = bytearray((bundle / "encoder.onnx").read_bytes())
    content[-1] ^= 1
    (bundle / "encoder.onnx").write_bytes(content)

    assert "digest" in refusal(bundle)


def test_b3_a_file_too_many(bundle: Path) -> None:
    (bundle / "e\x1b[31mvil.so").write_bytes(b"")

    assert "does not list: e\\x1b[31mvil.so" in refusal(bundle)


def symlink(path: Path, elsewhere: Path) -> None:
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def hard_link(path: Path, elsewhere: Path) -> None:
    elsewhere.hardlink_to(path)


def pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def socket_file(path: Path, _: Path) -> None:
    import socket

    path.unlink()
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name must be short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("name", ["encoder.onnx", "card.md", MANIFEST_NAME])
@pytest.mark.parametrize("attack", [symlink, hard_link, pipe, device, folder, socket_file])
def test_b4_whatever_is_no_file_of_one_name(
    bundle: Path, tmp_path: Path, attack, name: str
) -> None:
    attack(bundle / name, tmp_path / "elsewhere")

    reason = refusal(bundle)

    assert name in reason
    assert ("hard link" if attack is hard_link else "regular file") in reason


@pytest.mark.parametrize(
    "place", ["../../secret", "/etc/passwd", "/proc/self/environ", "/dev/zero", "card.md", ""]
)
def test_b5_numbers_that_lie_in_another_file(bundle: Path, place: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    assert "data outside of the file" in refusal(with_encoder(bundle, change))


def test_b5_the_same_in_an_attribute(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
        tensor.data_location = TensorProto.EXTERNAL
        before(model, helper.make_node("Constant", [], ["hidden"], value=tensor))

    assert "data outside of the file" in refusal(with_encoder(bundle, change))


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_b6_a_model_cut_short(bundle: Path, share: float) -> None:
    content = (bundle / "encoder.onnx").read_bytes()
    put(bundle, "encoder.onnx", content[: int(share * len(content))])

    assert "encoder.onnx" in refusal(bundle)


def test_b6_random_bytes_as_a_model(bundle: Path) -> None:
    put(bundle, "encoder.onnx", np.random.default_rng(0).bytes(4096))

    assert "expected an ONNX file" in refusal(bundle)


@pytest.mark.parametrize("domain", ["com.microsoft", "evil", "ai.onnx.ml", "\x00"])
def test_b7_operators_of_another_domain(bundle: Path, domain: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid(domain, 1))
        before(model, helper.make_node("Identity", ["image"], ["same"], domain=domain))

    assert "of the domain" in refusal(with_encoder(bundle, change))


def graph_of_one() -> onnx.GraphProto:
    value = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    one = helper.make_node("Constant", [], ["out"], value_floats=[1.0])
    return helper.make_graph([one], "inner", [], [value])


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node(
            "If", ["c"], ["o"], then_branch=graph_of_one(), else_branch=graph_of_one()
        ),
        helper.make_node("Loop", ["", ""], ["o"], body=graph_of_one()),
        helper.make_node("Scan", ["image"], ["o"], body=graph_of_one(), num_scan_inputs=1),
        helper.make_node("SequenceEmpty", [], ["o"]),
        helper.make_node("Optional", ["image"], ["o"]),
        helper.make_node("RandomUniformLike", ["image"], ["o"]),
        helper.make_node("StringNormalizer", ["image"], ["o"]),
    ],
    ids=lambda node: node.op_type,
)
def test_b8_control_flow_sequences_strings_and_chance(bundle: Path, node: onnx.NodeProto) -> None:
    reason = refusal(with_encoder(bundle, lambda model: before(model, node)))

    assert node.op_type in reason or "graph within the graph" in reason


def test_b8_a_graph_within_a_plain_operator(bundle: Path) -> None:
    node = helper.make_node("Identity", ["image"], ["same"], body=graph_of_one())

    assert "graph within the graph" in refusal(with_encoder(bundle, lambda m: before(m, node)))


def test_b9_functions_that_call_each_other_ever_deeper(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        for depth in range(20_000):
            inner = helper.make_node(f"f{depth + 1}", ["x"], ["y"], domain="evil")
            model.functions.append(
                helper.make_function("evil", f"f{depth}", ["x"], ["y"], [inner], OPSET)
            )

    assert "functions of its own" in refusal(with_encoder(bundle, change))


def swell(*sizes: int):
    """Return a change that lets the encoder add zeros of so many bytes to what it is given."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(sizes), "sizes"))
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1, 1]), "ones"))
        nodes = [
            helper.make_node("ConstantOfShape", ["sizes"], ["big"]),
            helper.make_node("ReduceMax", ["big"], ["none"], keepdims=0),
            helper.make_node("Add", ["image", "none"], ["image_too"]),
        ]
        for node in model.graph.node:
            node.input[:] = ["image_too" if name == "image" else name for name in node.input]
        before(model, *nodes)

    return change


def test_b10_a_constant_of_twelve_gigabytes(bundle: Path) -> None:
    reason = refusal(with_encoder(bundle, swell(3, 2**30)), SMALL)

    assert "bytes of memory" in reason or "cannot load" in reason


def test_b10_an_archive_that_says_it_unpacks_to_gigabytes(bundle: Path) -> None:
    header = io.BytesIO()
    told = {"descr": "<f8", "fortran_order": False, "shape": (2**31,)}
    np.lib.format.write_array_header_1_0(header, told)
    with zipfile.ZipFile(bundle / "cohort.npz", "w") as archive:
        archive.writestr("identities.npy", header.getvalue())
    write_manifest(bundle, read_fields(bundle))

    assert refusal(bundle, SMALL) == f"it takes more than {SMALL.memory} bytes of memory"


def test_b11_ports_other_than_the_manifests(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 9

    assert "encoder.onnx" in refusal(with_encoder(bundle, change))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_b12_weights_that_embed_to_nothing(bundle: Path, value: float) -> None:
    def change(model: onnx.ModelProto) -> None:
        matrix = numpy_helper.to_array(model.graph.initializer[0])
        model.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(np.full_like(matrix, value), "matrix")
        )

    assert "embeds a test vector to nothing" in refusal(with_encoder(bundle, change))


def test_b13_another_model_than_the_one_that_was_tested(bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", seed=1)
    put(bundle, "encoder.onnx", (other / "encoder.onnx").read_bytes())

    assert "does not reproduce its test vectors" in refusal(bundle)


@pytest.mark.parametrize("threshold", [None, float("nan"), float("inf"), 1.5, -0.1, "high"])
def test_b14_a_threshold_that_is_none(bundle: Path, threshold: object) -> None:
    fields = read_fields(bundle)
    fields["operating_points"][0]["threshold"] = threshold
    (bundle / MANIFEST_NAME).write_text(json.dumps(fields))

    assert "threshold" in refusal(bundle) or "Invalid JSON" in refusal(bundle)


def test_b15_two_bundles_of_one_name(bundle: Path) -> None:
    shutil.copytree(bundle, bundle.parent / "2")

    shelf = opened(bundle)

    assert list(shelf.comparators) == ["tiny@1"]
    assert [str(r) for r in shelf.refusals] == ["tiny/2: the manifest calls itself tiny@1"]


def test_b17_what_is_changed_on_disk_later_changes_nothing(bundle: Path) -> None:
    comparator = opened(bundle).comparators["tiny@1"]
    inputs = [(np.random.default_rng(0).random((1, 12, 12), np.float32),)]
    embedding = comparator.embed(inputs)

    for path in bundle.iterdir():
        path.write_bytes(b"\0" * path.stat().st_size)

    assert np.array_equal(comparator.embed(inputs), embedding)


CALLED = "models_store_test_pickle_was_opened"


class Opened:
    def __reduce__(self):
        return os.mkdir, (CALLED,)


@pytest.mark.parametrize("name", ["cohort.npz", "test_vectors.npz"])
def test_b18_a_pickle_in_an_array_is_never_opened(
    bundle: Path, tmp_path, monkeypatch, name
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([Opened()], object)
    np.savez(bundle / name, identities=trap, embeddings=trap, inputs_a=trap, embeddings_a=trap)
    write_manifest(bundle, read_fields(bundle))

    reason = refusal(bundle)

    assert reason == f"{name}: expected an .npz of plain arrays"
    assert not (tmp_path / CALLED).exists()


@pytest.mark.parametrize("name", ["weights.pkl", "model.pt", "model.joblib", "extra.npy"])
def test_b18_files_that_are_only_pickles_are_refused_unread(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"\x80\x04.")

    assert f"does not list: {name}" in refusal(bundle)


def test_b19_a_folder_that_everybody_may_write_to_is_told_of(bundle: Path) -> None:
    bundle.chmod(0o777)

    shelf = opened(bundle)

    assert list(shelf.comparators) == ["tiny@1"]
    (warning,) = shelf.warnings
    assert str(warning) == "tiny/1: everybody on this machine may change what is in its folder"


def test_b19_a_folder_of_somebody_else_is_told_of(bundle: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(bundle, 12345, -1)

    (warning,) = opened(bundle).warnings

    assert "another user (12345)" in warning.reason


def multiplying(times: int):
    """Return a change that multiplies large constants many times, which takes minutes."""

    def change(model: onnx.ModelProto) -> None:
        swell(1600, 1600)(model)
        products = [
            helper.make_node("MatMul", ["big" if i == 0 else f"p{i - 1}", "big"], [f"p{i}"])
            for i in range(times)
        ]
        nodes = list(model.graph.node)
        nodes[1].input[0] = f"p{times - 1}"
        del model.graph.node[:]
        model.graph.node.extend([nodes[0], *products, *nodes[1:]])

    return change


def test_b20_a_model_that_never_ends_loading(bundle: Path) -> None:
    make_bundle(bundle.parent.parent, "good")
    with_encoder(bundle, multiplying(5_000))

    shelf = opened(bundle, TrialLimits(seconds=1.0, memory=2**30))

    assert list(shelf.comparators) == ["good@1"]
    (refused,) = shelf.refusals
    assert refused.reason == "it takes more than 1 seconds of the processor to be tried"


def test_a_crash_in_a_trial_refuses_one_bundle_and_leaves_the_others(bundle: Path) -> None:
    make_bundle(bundle.parent.parent, "good")
    with_encoder(bundle, multiplying(5_000))
    until = time.monotonic() + 60

    def crash_what_is_busy() -> None:
        """End the process that the bundle is tried in as a null pointer would."""
        while time.monotonic() < until:
            for pid in processes(os.getpid()):
                words = _words(pid)
                if b"models_store.trial" in words and _words(_parent(pid)) == words:
                    used = _fields(pid)[11]
                    if int(used) >= 100:  # a second: the good one takes less
                        os.kill(pid, signal.SIGSEGV)
                        return
            time.sleep(0.02)

    crasher = threading.Thread(target=crash_what_is_busy)
    crasher.start()
    shelf = opened(bundle, TrialLimits(seconds=50, memory=2**30))
    crasher.join()

    assert list(shelf.comparators) == ["good@1"]
    (refused,) = shelf.refusals
    assert refused.reason == "it crashes the process that it is tried in (SIGSEGV)"


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


def test_a_bundle_of_more_bytes_than_the_limit_is_refused(bundle: Path) -> None:
    size = sum(path.stat().st_size for path in bundle.iterdir())

    assert opened(bundle, most=size).refusals == ()
    (refused,) = opened(bundle, most=size - 1).refusals
    assert "more bytes than it may have" in refused.reason


def test_a_trial_leaves_no_process_and_no_descriptor(bundle: Path) -> None:
    before, running = len(list(Path("/proc/self/fd").iterdir())), set(processes(os.getpid()))

    opened(bundle, SMALL)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert set(processes(os.getpid())) <= running


def test_every_operator_of_the_list_is_one_of_onnx_and_holds_no_graph() -> None:
    schemas = {s.name: s for s in onnx.defs.get_all_schemas() if s.domain in DOMAINS}
    kinds = onnx.defs.OpSchema.AttrType

    assert set(schemas) >= OPERATORS
    for name in OPERATORS:
        found = {attribute.type for attribute in schemas[name].attributes.values()}
        assert not found & {kinds.GRAPH, kinds.GRAPHS}, name


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_a_key_that_others_would_cut_to_another_field_is_refused(bundle: Path) -> None:
    evil = onnx.load(bundle / "encoder.onnx")
    before(evil, helper.make_node("Identity", ["image"], ["same"], domain="evil"))
    graph = evil.graph.SerializeToString()
    hidden = varint(1 << 32 | 7 << 3 | 2) + varint(len(graph)) + graph
    put(bundle, "encoder.onnx", (bundle / "encoder.onnx").read_bytes() + hidden)

    assert "expected an ONNX file" in refusal(bundle)
