"""Compiles one ONNX graph with NVIDIA TensorRT for RTX, ahead of time, on a machine without a GPU.

Prints one JSON line: what came out, or why TensorRT refused. Ends with 0 in both cases, and with 2
where its libraries cannot be used. A tool of the build machine; a cart never runs Python.
"""

import argparse
import ctypes
import json
import pathlib
import sys
import time

LIBRARIES = ("libcudart.so.13", "libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
VERSION = "1.7.1"


def load(folder):
    """The compiler's Python module, from the pinned libraries in `folder` and from nowhere else."""
    if sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:2]))
        raise ImportError(f"expected Python 3.11, found {found}")
    for name in LIBRARIES:
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(folder))
    import tensorrt_rtx

    return tensorrt_rtx


def log_of(trt):
    """A logger that keeps what TensorRT says is wrong."""

    class Log(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)
            self.errors = []

        def log(self, severity, message):
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def build(trt, log, target, graph):
    """The engine's bytes, or none, and the step that ended it."""
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            log.errors.append(f"{error.node_operator()} {error.node_name()}: {error.desc()}")
        return None, "parse"
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 in tuple(tensor.shape):
            log.errors.append(f"input {tensor.name}: expected fixed sizes, found {tuple(tensor.shape)}")
            return None, "parse"
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    return builder.build_serialized_network(network, config), "compile"


def main():
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--libraries", type=pathlib.Path, required=True)
    line.add_argument("--target", required=True, choices=("sm75", "sm80", "sm86", "sm89", "sm120", "sm121"))
    line.add_argument("--graph", type=pathlib.Path, required=True)
    line.add_argument("--engine", type=pathlib.Path)
    line = line.parse_args()
    try:
        trt = load(line.libraries)
    except (ImportError, OSError) as error:
        print(f"TensorRT for RTX {VERSION} cannot be loaded: {error} ({line.libraries})", file=sys.stderr)
        return 2
    log = log_of(trt)
    start = time.monotonic()
    engine, step = build(trt, log, line.target, line.graph)
    done = {"compiled": engine is not None, "step": step, "seconds": round(time.monotonic() - start, 1)}
    if engine is None:
        done["reason"] = " | ".join(dict.fromkeys(log.errors)) or "TensorRT gave no reason"
    else:
        data = memoryview(engine)
        done["bytes"] = data.nbytes
        if line.engine:
            line.engine.write_bytes(data)
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
