"""One table of what tests/gpu/check found: table.py FOLDER [--dry-run]"""

import json
import pathlib
import sys


def main():
    folder, dry = pathlib.Path(sys.argv[1]), "--dry-run" in sys.argv

    def code(step):
        path = folder / f"{step}.code"
        return path.read_text().split() if path.exists() else ["-", "0"]

    def found(step):
        try:
            return json.loads((folder / f"{step}.out").read_text())
        except (OSError, ValueError):
            return None

    def figures(step, stage):
        report = found(step)
        if not report:
            return None
        by_tokens = report["sides"][0]["figures"]
        return by_tokens[max(by_tokens, key=int)].get(stage)

    rows = []

    def row(what, value, target="", met=None):
        rows.append((what, value, target, "" if met is None else "met" if met else "MISSED"))

    row("machine", " ".join((folder / "machine.out").read_text().split("\n")[:1]))
    limits = found("limits")
    if limits:
        row(f"{limits['side']}-cube bf16 product", f"{limits['product_tflops']:.0f} TFLOP/s")
        row("the encoder's limit at that rate", f"{limits['limit_ms']:.3f} ms")
        row(f"torch.compile bf16 ({limits['torch']})", f"{limits['compiled_ms']:.3f} ms (eager {limits['eager_ms']:.3f} ms, compiled in {limits['compile_s']:.1f} s)")
    else:
        row("limits and torch.compile", "failed")
    for step, what in (("limit-served", "serves"), ("limit-refused", "refuses")):
        ended = code(step)[0]
        if ended != "-":
            amount = {"serves": "12 GiB", "refuses": "64 MiB"}[what]
            row(f"a limit of {amount} on GPU memory", what if ended == "0" else "failed", what, ended == "0")
    for variant in ("fp32", "fp16"):
        gate = code(f"gate-{variant}")
        row(f"{variant}: golden answers", "passed" if gate[0] == "0" else "failed", "passed", gate[0] == "0")
        report = found(f"bench-{variant}")
        encoder = figures(f"bench-{variant}", "encoder")
        if not encoder:
            row(f"{variant}: encoder", "failed", "", False)
            continue
        side = report["sides"][0]
        nodes = side["opened"]["nodes"]
        row(f"{variant}: nodes", "; ".join(f"{graph} {', '.join(f'{p} {n}' for p, n in by.items())}" for graph, by in sorted(nodes.items())))
        opened = max(side["opened"]["open_millis"].values()) / 1e3
        row(f"{variant}: engine ready", f"{opened:.2f} s", "< 5 s", opened < 5)
        p50, p999 = encoder["median"], encoder["p999"]
        row(f"{variant}: encoder, {len(encoder['samples'])} clips", f"p50 {p50:.3f} ms, p99 {encoder['p99']:.3f}, p99.9 {p999:.3f}", "p99.9 < 2x p50", p999 < 2 * p50)
        if limits:
            row(f"{variant}: encoder over the limit", f"{p50 / limits['limit_ms']:.2f}x", "<= 3x", p50 <= 3 * limits["limit_ms"])
            row(f"{variant}: encoder over torch.compile", f"{p50 / limits['compiled_ms']:.2f}x", "<= 1.3x", p50 <= 1.3 * limits["compiled_ms"])
        near = side["nearness"]
        if near:
            row(f"{variant}: tokens against fp32", f"cosine {near['cosine_mean']:.6f}, relative RMS {near['relative_rms']:.2e}")
        update = figures(f"update-{variant}", "update")
        if update:
            row(f"{variant}: view + EF update", f"median {update['median']:.3f} ms")
    row("TensorRT for RTX", " / ".join((folder / "rtx.out").read_text().split("\n")[:2]).strip(" /"))
    wide = max(len(r[0]) for r in rows)
    if dry:
        print("DRY RUN on the CPU with tiny sizes: not run on a GPU, targets mean nothing")
    for what, value, target, met in rows:
        print(f"{what:<{wide}}  {value}{f'  [{target}] {met}' if target else ''}")
    failed = [p.stem for p in sorted(folder.glob("*.code")) if p.read_text().split()[0] != "0"]
    if failed:
        print(f"steps that failed: {', '.join(failed)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
