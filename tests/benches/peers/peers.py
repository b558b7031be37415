"""The same weights through other makers' tools and through ours; see README.md.

prepare: weights, cines, PyTorch's outputs, the peers' graphs and our packages, each made once.
measure: every graph in turn, one clip at a time, and one table.
"""

import argparse
import os
import pathlib
import platform
import subprocess
import sys
import time

import cines
import numpy as np
import weights
from worker import Worker

ROOT = pathlib.Path(__file__).resolve().parents[3]


def step(path, what):
    """Whether `path` is still to be made; says so."""
    if path.exists():
        return False
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)
    return True


def tool(*words):
    print("$", *words, flush=True)
    start = time.monotonic()
    child = subprocess.Popen([str(w) for w in words], cwd=ROOT)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds, processor = time.monotonic() - start, used.ru_utime + used.ru_stime
    print(f"  {seconds:.0f} s, {processor:.0f} s of processor time, peak {used.ru_maxrss / 1e6:.2f} GB, exit code {child.returncode}", flush=True)


def prepare(args):
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    files, clips = cines.prepare(args.cine, out / "cines")
    values = weights.encoder("vitl-224", args.depth, args.outliers)
    reference = out / "reference.npy"
    graph = out / "torch.onnx"
    if step(reference, "PyTorch: reference and export"):
        import torch
        from encoder import Encoder

        torch.set_num_threads(args.threads)
        model = Encoder(values, args.depth)
        rows = [torch.from_numpy(cines.rows(clip)) for clip in clips["held-out"][:: args.every]]
        with torch.inference_mode():
            outputs = np.stack([model(x).numpy()[0] for x in rows])
            torch.onnx.export(model, (rows[0],), str(graph), input_names=["rows"], output_names=["tokens"], dynamo=True, external_data=True)
        np.save(reference, outputs)
    binary = ROOT / "target/release/echocart"
    ours = out / "ours"
    if step(ours, "echocart export"):
        recipe = out / "recipe.toml"
        weights.write_recipe(recipe, args.depth, args.probe_depth)
        outliers = ["--outliers"] if args.outliers else []
        tool(binary, "export", "--recipe", recipe, "--generated-weights", "vitl-224", *outliers, "--out", ours)
    quantised = out / "ours-int8"
    if step(quantised, "echocart quantise"):
        names = ["--calibrate", *files["calibrate"], "--held-out", *files["held-out"]]
        tool(binary, "quantise", "--package", ours, *names, "--clips", args.clips, "--variants", "int8", "--out", quantised)
    calibration = [cines.rows(c) for c in spread(clips["calibrate"], args.clips)]
    if "nncf" in args.peers and step(out / "nncf.xml", "NNCF"):
        nncf_int8(graph, calibration, out / "nncf.xml")
    if "ort" in args.peers and step(out / "ort-int8.onnx", "onnxruntime.quantization"):
        ort_int8(graph, calibration[: args.ort_clips], out)


def spread(items, count):
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def nncf_int8(graph, calibration, to):
    import nncf
    import openvino

    model = openvino.Core().read_model(graph)
    start = time.monotonic()
    quantised = nncf.quantize(
        model,
        nncf.Dataset(calibration),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
        fast_bias_correction=True,
        advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=0.5)),
    )
    print(f"  NNCF {nncf.__version__}: {time.monotonic() - start:.0f} s, {len(calibration)} clips", flush=True)
    openvino.save_model(quantised, to, compress_to_fp16=False)


def ort_int8(graph, calibration, out):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(calibration)

        def get_next(self):
            rows = next(self.left, None)
            return None if rows is None else {"rows": rows}

    ready = out / "ort-ready.onnx"
    large = {"save_as_external_data": True, "all_tensors_to_one_file": True}
    quant_pre_process(graph, ready, skip_symbolic_shape=True, external_data_location="ort-ready.data", **large)
    start = time.monotonic()
    quantize_static(
        ready,
        out / "ort-int8.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        use_external_data_format=True,
        extra_options={"ActivationSymmetric": True},
    )
    print(f"  onnxruntime.quantization: {time.monotonic() - start:.0f} s, {len(calibration)} clips", flush=True)


def subjects(out, provider, as_written):
    """Name, engine, file, precision hint."""
    ids = str(out / "ours" / "encoder.fp32.onnx")
    found = [
        ("PyTorch export, ONNX Runtime CPU", "ort", out / "torch.onnx", None),
        ("onnxruntime.quantization INT8, ONNX Runtime CPU", "ort", out / "ort-int8.onnx", None),
        ("PyTorch export, OpenVINO fp32", "openvino", out / "torch.onnx", "f32"),
        ("PyTorch export, OpenVINO bf16", "openvino", out / "torch.onnx", "bf16"),
        ("NNCF INT8, OpenVINO fp32", "openvino", out / "nncf.xml", "f32"),
        ("NNCF INT8, OpenVINO bf16", "openvino", out / "nncf.xml", "bf16"),
        ("echocart fp32, ONNX Runtime CPU", "ort", pathlib.Path(ids), None),
        ("echocart INT8, OpenVINO fp32", "openvino", out / "ours-int8" / "encoder.int8.onnx", "f32"),
        ("echocart INT8, OpenVINO bf16", "openvino", out / "ours-int8" / "encoder.int8.onnx", "bf16"),
    ]
    if as_written:
        found = [(f"{name.split(',')[0]}, as written", "as_written", path, hint) for name, _, path, hint in found if "INT8, OpenVINO fp32" in name]
    if provider:
        found += [("echocart INT8, ONNX Runtime's OpenVINO provider bf16", "provider", found[-1][2], "bf16")]
    return [subject for subject in found if subject[2].exists()]


def measure(args):
    reference = np.load(args.out / "reference.npy")
    _, clips = cines.prepare(args.cine, args.out / "cines")
    rows = [cines.rows(clip) for clip in clips["held-out"][:: args.every]]
    workers = {}
    for name, engine, path, hint in subjects(args.out, args.provider, args.as_written):
        print(f"loading: {name}", flush=True)
        python = args.provider if engine == "provider" else sys.executable
        worker = Worker(python, engine, path, hint, args.threads)
        if worker.error:
            print(f"not run: {name}: {worker.error}", flush=True)
            continue
        workers[name] = worker
    outputs = {name: [] for name in workers}
    seconds = {name: [] for name in workers}
    for worker in workers.values():
        worker.run(rows[0])
    for turn in range(max(args.runs, len(rows))):
        for name, worker in workers.items():
            tokens, took = worker.run(rows[turn % len(rows)])
            seconds[name].append(took)
            if turn < len(rows):
                outputs[name].append(tokens[0])
    for worker in workers.values():
        worker.end()
    lines = ["| graph and engine | token cosine mean | worst | relative RMS | s / clip, median (least) |", "|---|---|---|---|---|"]
    for name in workers:
        found = np.stack(outputs[name]).astype(np.float64)
        wanted = reference.astype(np.float64)
        dot = (found * wanted).sum(-1)
        cosine = dot / np.linalg.norm(found, axis=-1) / np.linalg.norm(wanted, axis=-1)
        error = np.sqrt(((found - wanted) ** 2).sum() / (wanted**2).sum())
        times = seconds[name]
        lines.append(f"| {name} | {cosine.mean():.5f} | {cosine.min():.5f} | {error:.1e} | {np.median(times):.2f} ({min(times):.2f}) |")
    kind = "with outliers" if args.outliers else "without outliers"
    inputs = "noise" if args.noise else "cine"
    print(f"\n{args.depth} layers, {kind}, {inputs}, {len(rows)} held-out clips, {max(args.runs, len(rows))} runs in turn, {args.threads} threads")
    print(f"{platform.processor() or platform.machine()}, {time.strftime('%Y-%m-%d')}\n")
    print("\n".join(lines))


def main():
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("what", choices=("prepare", "measure", "all"))
    line.add_argument("--out", type=pathlib.Path, required=True, help="working folder: about 6 GB for 24 layers")
    line.add_argument("--cine", type=pathlib.Path, default=ROOT / ".echocart/data/color3d_jpeg_baseline.dcm")
    line.add_argument("--noise", action="store_true", help="uniform noise instead of the cine, compared on the golden case's inputs")
    line.add_argument("--depth", type=int, default=24, help="layers of the encoder")
    line.add_argument("--outliers", action="store_true")
    line.add_argument("--probe-depth", type=int, default=0, help="blocks of the package's attentive probes; 0: linear ones")
    line.add_argument("--clips", type=int, default=16, help="calibration clips")
    line.add_argument("--ort-clips", type=int, default=2, help="calibration clips for onnxruntime.quantization, which keeps every activation")
    line.add_argument("--every", type=int, default=2, help="take each n-th held-out clip of eight")
    line.add_argument("--runs", type=int, default=4)
    line.add_argument("--threads", type=int, default=2)
    line.add_argument("--peers", default="nncf,ort")
    line.add_argument("--as-written", action="store_true", help="only the INT8 graphs of NNCF and ours, with their 8-bit numbers multiplied in fp32")
    line.add_argument("--provider", help="Python with onnxruntime-openvino, for a run on ONNX Runtime's OpenVINO provider")
    args = line.parse_args()
    args.out = args.out.resolve()
    args.cine = None if args.noise else args.cine
    if args.what != "measure":
        prepare(args)
    if args.what != "prepare":
        measure(args)


if __name__ == "__main__":
    main()
