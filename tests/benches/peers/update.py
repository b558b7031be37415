"""A view + EF update in turn: ours through ONNX Runtime, and graphs on OpenVINO's own runtime.

Each side is a process of its own and asked in turn, update by update: encoder and view head on the newest clip, then the EF
head on it and the clip before. `--own NAME=ENCODER,VIEW,LVEF` adds a side on OpenVINO's own runtime (.onnx or .xml; VIEW and LVEF
may be left empty). A graph without an input `ids` runs with all tokens only. See README.md.
"""

import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
STAGES = ("encoder", "view", "lvef", "update", "encoder_cpu", "update_cpu")


class Ours:
    """`echocart bench side`: JSON lines."""

    def __init__(self, args, counts):
        words = [args.binary, "bench", "side", "--package", args.package, "--provider", args.provider]
        words += ["--variant", args.variant, "--threads", args.threads, "--tokens", ",".join(map(str, counts))]
        words += [f"--option={option}" for option in args.option] + (["--open-sizes"] if args.open_sizes else [])
        self.process = subprocess.Popen([str(w) for w in words], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        opened = self.hear()
        if opened["error"]:
            raise SystemExit(f"ours: {opened['error']}")
        self.counts = set(counts)
        self.words = opened["words"]
        self.nearness = self.ask("nearness").get("nearness")

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"ours died with {self.process.wait()}")
        return json.loads(line)

    def ask(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        answer = self.hear()
        if "failed" in answer:
            raise SystemExit(f"ours: {answer['failed']}")
        return answer

    def update(self, tokens):
        return self.ask({"update": tokens})["update"]["nanos"]


class Own:
    """This file as a process, over OpenVINO's own runtime."""

    def __init__(self, args, counts, graphs):
        words = [sys.executable, __file__, "--serve", json.dumps([graphs, counts, args.hint, args.threads, args.streams])]
        self.process = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        opened = json.loads(self.process.stdout.readline() or '{"error": "died"}')
        if opened.get("error"):
            raise SystemExit(f"{graphs}: {opened['error']}")
        self.counts, self.words, self.nearness = set(opened["counts"]), opened["words"], None

    def update(self, tokens):
        self.process.stdin.write(f"{tokens}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def serve(graphs, counts, hint, threads, streams):
    import os

    import numpy as np
    import openvino as ov

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value):
        print(json.dumps(value), file=answers, flush=True)

    core = ov.Core()
    config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}

    def compiled(path, tokens):
        model = core.read_model(path)
        fixed = {}
        for given in model.inputs:
            shape = given.partial_shape
            if shape.is_dynamic:
                fixed[given.any_name] = [tokens if d.is_dynamic else d.get_length() for d in shape]
            elif max(shape.to_shape()) != tokens and tokens not in list(shape.to_shape()):
                return None
        if fixed:
            model.reshape(fixed)
        return core.compile_model(model, "CPU", config).create_infer_request()

    ready = {}
    try:
        for tokens in counts:
            requests = [compiled(path, tokens) if path else None for path in graphs]
            if requests[0] is None:
                continue
            noise = np.random.default_rng(0)
            for given in requests[0].model_inputs:
                if given.any_name == "ids":
                    total = max(counts)
                    values = np.arange(tokens, dtype=np.int64) * total // tokens
                else:
                    values = noise.standard_normal(list(given.shape), dtype=np.float32)
                requests[0].set_tensor(given, ov.Tensor(values))
            ready[tokens] = requests
    except Exception as error:
        say({"error": str(error).strip().splitlines()[0]})
        return
    say({"counts": list(ready), "words": f"OpenVINO {ov.get_version()}, {hint}, {threads} threads, {streams} streams"})
    before = {}
    for line in sys.stdin:
        tokens = int(line)
        encoder, view, lvef = ready[tokens]
        nanos, begin, busy = {}, time.perf_counter_ns(), time.process_time_ns()

        def took(stage, since):
            nanos[stage] = time.perf_counter_ns() - since
            return time.perf_counter_ns()

        since = begin
        encoder.infer()
        newest = encoder.get_output_tensor(0).data
        since = took("encoder", since)
        nanos["encoder_cpu"] = time.process_time_ns() - busy
        if view:
            view.set_input_tensor(0, ov.Tensor(newest, shared_memory=True))
            view.infer()
            since = took("view", since)
        if lvef:
            for index, tensor in enumerate([before.get(tokens, newest), newest][-len(lvef.model_inputs) :]):
                lvef.set_input_tensor(index, ov.Tensor(tensor, shared_memory=True))
            lvef.infer()
            took("lvef", since)
        nanos["update"] = time.perf_counter_ns() - begin
        nanos["update_cpu"] = time.process_time_ns() - busy
        before[tokens] = newest.copy()
        say(nanos)


def main():
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--package", type=pathlib.Path, required=True)
    line.add_argument("--provider", default="OpenVINO", help="of our side")
    line.add_argument("--variant", default="int8")
    line.add_argument("--own", action="append", default=[], metavar="NAME=ENCODER,VIEW,LVEF")
    line.add_argument("--all", type=int, default=1568, help="tokens of a whole clip")
    line.add_argument("--tokens", default="all,62.5%")
    line.add_argument("--pairs", type=int, default=10)
    line.add_argument("--threads", type=int, default=2)
    line.add_argument("--streams", default="1")
    line.add_argument("--hint", default="bf16", help="f32 or bf16, of OpenVINO's own runtime; ours takes bf16 where the CPU has it")
    line.add_argument("--option", action="append", default=[], help="provider option of our side, KEY=VALUE")
    line.add_argument("--open-sizes", action="store_true")
    line.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/echocart")
    line.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    if sys.argv[1:2] == ["--serve"]:
        serve(*json.loads(sys.argv[2]))
        return
    args = line.parse_args()
    args.package, args.binary = args.package.resolve(), args.binary.resolve()
    counts = []
    for word in args.tokens.split(","):
        share = round(args.all * float(word[:-1]) / 100) if word.endswith("%") else None
        counts.append(args.all if word == "all" else share or int(word))
    sides = {"ours": Ours(args, counts)}
    for own in args.own:
        name, _, graphs = own.partition("=")
        sides[name] = Own(args, counts, [str(pathlib.Path(g).resolve()) if g else "" for g in (graphs + ",,").split(",")[:3]])
    for name, side in sides.items():
        print(f"{name}: {side.words}")
        if side.nearness:
            n = side.nearness
            print(f"  golden tokens against fp32: cosine {n['cosine_mean']:.5f} mean, {n['cosine_worst']:.5f} worst, rel. RMS {n['relative_rms']:.2e}")
    print(f"{platform.processor() or platform.machine()}, {time.strftime('%Y-%m-%d')}, {args.threads} threads, {args.pairs} updates in turn\n", flush=True)
    print("| tokens | stage | side | median ms | p99 | least | ours / side |\n|---|---|---|---|---|---|---|")
    for tokens in counts:
        taking_part = [(name, side) for name, side in sides.items() if tokens in side.counts]
        samples = {name: {} for name, _ in taking_part}
        for turn in range(args.pairs + 2):
            for name, side in taking_part if turn % 2 == 0 else reversed(taking_part):
                for stage, nanos in side.update(tokens).items():
                    samples[name].setdefault(stage, []).append(nanos / 1e6)
        for stage in STAGES:
            if stage not in samples["ours"]:
                continue
            ours = statistics.median(samples["ours"][stage][2:])
            for name, _ in taking_part:
                times = samples[name].get(stage, [])[2:]
                if times:
                    times.sort()
                    tail = times[min(len(times) - 1, -(-len(times) * 99 // 100) - 1)]
                    median = statistics.median(times)
                    ratio = "" if name == "ours" else f"{ours / median:.3f}"
                    print(f"| {tokens} | {stage} | {name} | {median:.1f} | {tail:.1f} | {times[0]:.1f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
