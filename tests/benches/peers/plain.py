"""NNCF INT8 of our own fp32 graphs with plain attention, encoder and heads: plain.py PACKAGE OUT [--cine FILE] [--clips 4]

PACKAGE holds the variant fp32-plain (`echocart export --variants fp32-plain`). OUT gets encoder.xml, view.xml and lvef.xml, which
take any number of tokens. Calibrated on the demo's cine; heads on the tokens that the encoder makes of it.
"""

import argparse
import pathlib

import cines
import nncf
import numpy as np
import openvino as ov

ROOT = pathlib.Path(__file__).resolve().parents[3]


def int8(model, data, to):
    smooth = nncf.AdvancedSmoothQuantParameters(matmul=0.5)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(data),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(data),
        fast_bias_correction=True,
        advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smooth),
    )
    ov.save_model(quantised, to, compress_to_fp16=False)
    print(f"{to}", flush=True)


def main():
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("package", type=pathlib.Path)
    line.add_argument("out", type=pathlib.Path)
    line.add_argument("--cine", type=pathlib.Path, default=ROOT / ".echocart/data/color3d_jpeg_baseline.dcm")
    line.add_argument("--clips", type=int, default=4)
    args = line.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    core = ov.Core()
    _, clips = cines.prepare(args.cine, args.out / "cines")
    chosen = [clips["calibrate"][i * len(clips["calibrate"]) // args.clips] for i in range(args.clips)]
    data = []
    for clip in chosen:
        rows = cines.rows(clip)
        data.append({"rows": rows, "ids": np.arange(rows.shape[1], dtype=np.int64)})
    encoder = core.read_model(args.package / "encoder.fp32-plain.onnx")
    run = core.compile_model(encoder, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    tokens = [run(item)[0].copy() for item in data]
    del run
    int8(encoder, data, args.out / "encoder.xml")
    for name, segments in (("view", 1), ("lvef", 2)):
        path = args.package / f"head.{name}.s{segments}.fp32-plain.onnx"
        if path.exists():
            given = [{f"tokens_{i}": tokens[(at + i) % len(tokens)] for i in range(segments)} for at in range(len(tokens))]
            int8(core.read_model(path), given, args.out / f"{name}.xml")


if __name__ == "__main__":
    main()
