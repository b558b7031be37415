"""Where OpenVINO's time goes: one graph on its own runtime, time by kind of layer and by kernel.

profile_layers.py GRAPH [--tokens 1568] [--hint bf16] [--runs 3] [--threads 2]
"""

import argparse
import collections

import numpy as np
import openvino as ov


def main():
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("graph")
    line.add_argument("--tokens", type=int, default=1568)
    line.add_argument("--hint", default="bf16")
    line.add_argument("--runs", type=int, default=3)
    line.add_argument("--threads", type=int, default=2)
    line.add_argument("--top", type=int, default=24)
    args = line.parse_args()
    core = ov.Core()
    model = core.read_model(args.graph)
    fixed = {}
    for given in model.inputs:
        shape = given.partial_shape
        if shape.is_dynamic:
            fixed[given.any_name] = [args.tokens if d.is_dynamic else d.get_length() for d in shape]
    if fixed:
        model.reshape(fixed)
    config = {"INFERENCE_PRECISION_HINT": args.hint, "INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1, "PERF_COUNT": True}
    request = core.compile_model(model, "CPU", config).create_infer_request()
    noise = np.random.default_rng(0)
    for given in request.model_inputs:
        if given.any_name == "ids":
            values = np.arange(args.tokens, dtype=np.int64)
        else:
            values = noise.standard_normal(list(given.shape), dtype=np.float32)
        request.set_tensor(given, ov.Tensor(values))
    request.infer()
    totals = collections.Counter()
    counts = collections.Counter()
    for _ in range(args.runs):
        request.infer()
        for layer in request.profiling_info:
            took = layer.real_time.total_seconds() * 1e3 / args.runs
            if took > 0:
                totals[layer.node_type, layer.exec_type] += took
                counts[layer.node_type, layer.exec_type] += 1
    whole = sum(totals.values())
    print(f"{args.graph}: OpenVINO {ov.get_version()}, {args.hint}, {args.tokens} tokens, {args.threads} threads: {whole:.0f} ms in layers")
    print("| layer | kernel | number | ms | share |\n|---|---|---|---|---|")
    for (node, kernel), took in totals.most_common(args.top):
        print(f"| {node} | {kernel} | {counts[node, kernel] // args.runs} | {took:.1f} | {100 * took / whole:.1f} % |")


if __name__ == "__main__":
    main()
