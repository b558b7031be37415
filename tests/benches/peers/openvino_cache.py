"""Whether OpenVINO's cache of compiled models makes a graph open sooner.

    python3 -m venv venv && venv/bin/pip install onnxruntime-openvino==1.24.1
    venv/bin/python openvino_cache.py GRAPH.onnx...

Opens each graph twice without and twice with a cache folder, in turn; prints wall and CPU seconds.
"""

import json
import os
import sys
import tempfile
import time

import onnxruntime


def opened(graph, cache):
    config = {"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2"}}
    options = {"device_type": "CPU", "load_config": json.dumps(config)}
    if cache:
        options["cache_dir"] = cache
    wall, cpu = time.time(), time.process_time()
    providers = [("OpenVINOExecutionProvider", options), "CPUExecutionProvider"]
    onnxruntime.InferenceSession(graph, providers=providers)
    return f"{time.time() - wall:.1f} s wall, {time.process_time() - cpu:.2f} s CPU"


for graph in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as cache:
        for turn in ("first", "second"):
            print(f"{graph} {turn}: without {opened(graph, None)}; with {opened(graph, cache)}")
        size = sum(os.path.getsize(os.path.join(cache, name)) for name in os.listdir(cache))
        print(f"{graph}: {size} bytes kept", flush=True)
