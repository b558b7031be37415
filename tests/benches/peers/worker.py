"""One graph on one engine in a process of its own, which runs a clip when told to."""

import json
import os
import pickle
import subprocess
import sys
import time


class Worker:
    def __init__(self, python, engine, path, hint, threads):
        words = [str(python), __file__, json.dumps([engine, str(path), hint, threads])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.error = self.answer()

    def answer(self):
        try:
            return pickle.load(self.process.stdout)
        except EOFError:
            return f"ended with {self.process.wait()}"

    def run(self, rows):
        pickle.dump(rows, self.process.stdin)
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def ort(path, hint, threads, providers=None):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=providers or ["CPUExecutionProvider"])
    if providers and session.get_providers()[0] != providers[0][0]:
        raise RuntimeError(f"expected {providers[0][0]}, found {session.get_providers()}")
    names = [i.name for i in session.get_inputs()]
    return lambda feeds: session.run(["tokens"], {n: feeds[n] for n in names})[0]


def provider(path, hint, threads):
    config = json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}})
    return ort(path, hint, threads, [("OpenVINOExecutionProvider", {"device_type": "CPU", "load_config": config})])


def as_written(path, hint, threads):
    """8-bit graphs with every quantise and dequantise node computed in fp32: slow, and no product can saturate."""
    return openvino(path, hint, threads, {"LP_TRANSFORMS_MODE": False})


def openvino(path, hint, threads, more=None):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(path)
    sizes = {i.any_name: i.partial_shape for i in model.inputs}
    if any(shape.is_dynamic for shape in sizes.values()):
        fixed = {"rows": [1, 1568, 1536], "ids": [1568]}
        model.reshape({name: fixed[name] for name in sizes})
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, **(more or {})}
    compiled = core.compile_model(model, "CPU", options)
    return lambda feeds: compiled({n: feeds[n] for n in sizes})[0]


def serve():
    import numpy

    engine, path, hint, threads = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(value):
        pickle.dump(value, answers)
        answers.flush()

    try:
        run = {"ort": ort, "openvino": openvino, "as_written": as_written, "provider": provider}[engine](path, hint, threads)
    except Exception as error:
        answer(str(error).strip().splitlines()[0])
        return
    answer(None)
    while True:
        try:
            rows = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        feeds = {"rows": rows, "ids": numpy.arange(rows.shape[1], dtype=numpy.int64)}
        start = time.monotonic()
        tokens = run(feeds)
        answer((tokens, time.monotonic() - start))


if __name__ == "__main__":
    serve()
