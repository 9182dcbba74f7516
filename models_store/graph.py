"""What an ONNX file may be made of, found in its bytes before anything builds it.

The file is read as protobuf messages without any library of its format: which fields it has, and
of each node the operator. Nothing is taken at its word, nothing is built, and how much is looked
at is bounded. https://protobuf.dev/programming-guides/encoding, `onnx.proto` of ONNX 1.23.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from models_store.manifest import BundleRefused

MOST_PARTS = 1_000_000
"""How many fields are looked at; the graph of a large language model has some 100,000."""

DOMAINS = ("", "ai.onnx")

_NAMES = """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast
    CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape Conv
    ConvInteger ConvTranspose Cos Cosh CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div
    Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish
    Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool
    MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Neg NonZero Not
    OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign
    RotaryEmbedding Round STFT ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh
    Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_NAMES.split())
"""Numbers in, the same numbers out each time: no control flow, sequences, strings or chance."""


@dataclass(frozen=True, slots=True)
class _Message:
    """Of one kind of message: what lies in it, what must not, and which texts are told."""

    inner: dict[int, "_Message"] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)


_TENSOR = _Message(refused={13: "data outside of the file", 14: "data outside of the file"})
_GRAPH_IN_GRAPH = "a graph within the graph"
_SPARSE = "sparse tensors"
_ATTRIBUTE = _Message(
    inner={5: _TENSOR, 10: _TENSOR},
    refused={6: _GRAPH_IN_GRAPH, 11: _GRAPH_IN_GRAPH, 22: _SPARSE, 23: _SPARSE},
)
_NODE = _Message(inner={5: _ATTRIBUTE}, texts={4: "operator", 7: "domain"})
_GRAPH = _Message(inner={1: _NODE, 5: _TENSOR}, refused={15: _SPARSE})
_MODEL = _Message(
    inner={7: _GRAPH}, refused={20: "a graph for training", 25: "functions of its own"}
)

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # how a field's value is written
_EXTERNAL = 14  # the one refused field that may stand there, as long as it says 0


def check_graph(name: str, model: bytes) -> None:
    """Refuse an ONNX file that is made of anything but plain operators and its own numbers.

    Raises BundleRefused.
    """
    try:
        _check(memoryview(model), _MODEL, [MOST_PARTS])
    except _NotProtobuf as error:
        raise BundleRefused(f"{name}: expected an ONNX file, got bytes that are none") from error
    except _Unwanted as error:
        raise BundleRefused(f"{name}: {error}") from error


class _NotProtobuf(Exception):
    """The bytes are not fields one after the other."""


class _Unwanted(Exception):
    """There is something that no bundle may have."""


def _check(content: memoryview, message: _Message, left: list[int]) -> None:
    """Look at each field of a message and of those within; `left` counts down what is left."""
    for number, value in _fields(content):
        left[0] -= 1
        if left[0] < 0:
            raise _Unwanted(f"expected at most {MOST_PARTS} parts")
        if number in message.refused and not (number == _EXTERNAL and value == 0):
            raise _Unwanted(f"expected no {message.refused[number].removeprefix('a ')}")
        if number in message.inner:
            _check(_whole(value), message.inner[number], left)
        if number in message.texts:
            _check_text(message.texts[number], bytes(_whole(value)))


def _check_text(kind: str, told: bytes) -> None:
    said = ascii(told.decode(errors="replace"))[:60]
    if kind == "domain" and told.decode(errors="replace") not in DOMAINS:
        raise _Unwanted(f"expected operators of ONNX, got one of the domain {said}")
    if kind == "operator" and told.decode(errors="replace") not in OPERATORS:
        raise _Unwanted(f"expected operators of the list, got {said}")


def _whole(value: "int | memoryview") -> memoryview:
    if isinstance(value, int):
        raise _NotProtobuf
    return value


def _fields(content: memoryview) -> Iterator[tuple[int, "int | memoryview"]]:
    """Yield the number and the value of each field, one after the other."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if number == 0 or key >= 2**32:  # others cut a longer key, and see another field
            raise _NotProtobuf
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(content, at)
        elif wire in (_EIGHT, _FOUR):
            size = 8 if wire == _EIGHT else 4
        else:  # groups, which ONNX has none of
            raise _NotProtobuf
        if size > len(content) - at:
            raise _NotProtobuf
        yield number, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise _NotProtobuf
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), at
    raise _NotProtobuf
