"""What a library says when it gets no memory is told as that, and not in its words."""

import json
import subprocess
import sys

OUT_OF_MEMORY = """
import json, resource, sys, threading
import faiss, numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper
from service.edge.problems import problem_of

values = [("x", TensorProto.FLOAT, [1]), ("shape", TensorProto.INT64, [2])]
graph = helper.make_graph(
    [helper.make_node("Expand", ["x", "shape"], ["y"])],
    "large",
    [helper.make_tensor_value_info(*value) for value in values],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
options = onnxruntime.SessionOptions()
options.log_severity_level, options.enable_cpu_mem_arena = 4, False
session = onnxruntime.InferenceSession(model.SerializeToString(), options)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**20,) * 2)
feeds = {"x": np.zeros(1, np.float32), "shape": np.array([30_000, 30_000])}
threading.stack_size(2**28)
attempts = {
    "onnxruntime": lambda: session.run(None, feeds),
    "faiss": lambda: faiss.Float32Vector().resize(10**9),
    "numpy": lambda: np.zeros(10**9),
    "bytes": lambda: bytes(10**9),
    "thread": threading.Thread(target=print).start,
    "import": lambda: __import__("scipy.linalg"),
}
told = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except Exception as error:
        told[name] = problem_of(error).model_dump(exclude_none=True)
print(json.dumps(told))
"""


def test_each_library_that_gets_no_memory_is_told_as_overloaded_with_an_unknown_outcome():
    """S10."""
    told = json.loads(subprocess.check_output([sys.executable, "-c", OUT_OF_MEMORY]))

    assert told.keys() == {"onnxruntime", "faiss", "numpy", "bytes", "thread", "import"}
    for problem in told.values():
        assert problem == {
            "type": "/docs/problems.md#overloaded",
            "title": "There was no memory left for that",
            "status": 503,
            "detail": "There was no memory left for that",
            "outcome": "unknown",
        }
