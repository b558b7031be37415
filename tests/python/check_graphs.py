"""Checks ONNX graph files: structure, operator schemas, and shapes inferred strictly.

usage: check_graphs.py GRAPH...

Prints one line of JSON per graph: the operators outside the standard set, which have no schema
here and are checked for structure alone, and the values whose type or lengths are not known.
Ends with 1 and one line if a graph is refused.
"""

import json
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import shape_inference


def lengths(value):
    tensor = value.type.tensor_type
    if not tensor.elem_type or not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in tensor.shape.dim]


def check(path):
    onnx.checker.check_model(str(path))
    with tempfile.TemporaryDirectory() as folder:
        inferred = Path(folder) / "inferred.onnx"
        shape_inference.infer_shapes_path(
            str(path), str(inferred), check_type=True, strict_mode=True, data_prop=True
        )
        graph = onnx.load(str(inferred), load_external_data=False).graph
    known = {v.name: lengths(v) for v in [*graph.input, *graph.value_info, *graph.output]}
    given = [name for node in graph.node for name in node.output]
    return {
        "graph": path.name,
        "foreign": sorted({n.op_type for n in graph.node if n.domain}),
        "untyped": [name for name in given if known.get(name) is None],
        "open": [name for name in given if not all(isinstance(d, int) for d in known.get(name) or [])],
        "nodes": len(graph.node),
    }


def main():
    for path in map(Path, sys.argv[1:]):
        try:
            print(json.dumps(check(path)))
        except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
            print(f"{path.name}: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(1)


main()
