"""What the card and PyTorch do in the same run: an 8192-cube bf16 product, and the encoder by `torch.compile` in bf16. One JSON line."""

import argparse
import json
import statistics
import time

import torch
import weights


def timed(run, device, times):
    for _ in range(3):
        run()
    samples = []
    for _ in range(times):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        samples.append((time.perf_counter() - start) * 1e3)
    return samples


def main():
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--device", default="cuda")
    line.add_argument("--tiny", action="store_true", help="sizes for a dry run")
    args = line.parse_args()
    side, times, depth = (256, 3, 1) if args.tiny else (8192, 20, 24)
    a, b = (torch.randn(side, side, device=args.device, dtype=torch.bfloat16) for _ in range(2))
    product = statistics.median(timed(lambda: a @ b, args.device, times))
    tflops = 2 * side**3 / product / 1e9
    if args.tiny:
        weights.DIM, weights.HEADS, weights.HIDDEN, weights.FRAMES, weights.SIDE = 48, 4, 96, 4, 32
    import encoder

    model = encoder.Encoder(weights.encoder("vitl-224", depth, False), depth)
    model = model.to(args.device, torch.bfloat16)
    tokens = weights.FRAMES // weights.TUBELET * (weights.SIDE // weights.PATCH) ** 2
    row = 3 * weights.TUBELET * weights.PATCH**2
    rows = torch.randn(1, tokens, row, device=args.device, dtype=torch.bfloat16)
    dim, hidden = weights.DIM, weights.HIDDEN
    flop = 2 * tokens * (row * dim + depth * (4 * dim * dim + 2 * dim * hidden + 2 * tokens * dim))
    with torch.inference_mode():
        eager = timed(lambda: model(rows), args.device, times)
        fast = torch.compile(model, mode="max-autotune-no-cudagraphs" if args.device == "cuda" else "default")
        begin = time.perf_counter()
        fast(rows)
        built = time.perf_counter() - begin
        compiled = timed(lambda: fast(rows), args.device, 10 * times)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "side": side,
                "product_tflops": tflops,
                "encoder_flop": flop,
                "limit_ms": flop / tflops / 1e9,
                "eager_ms": statistics.median(eager),
                "compiled_ms": statistics.median(compiled),
                "compile_s": built,
            }
        )
    )


if __name__ == "__main__":
    main()
