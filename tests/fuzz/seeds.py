"""Writes the seeds of the corpus: python3 seeds.py FOLDER. Standard library only.

Checkpoints as torch.save writes them, with classes that only bear torch's names."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

torch = types.ModuleType("torch")
utils = types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})


class FloatStorage:
    __module__ = "torch"


class HalfStorage:
    __module__ = "torch"


def _rebuild_tensor_v2(*arguments):
    return arguments


_rebuild_tensor_v2.__module__ = "torch._utils"
torch.FloatStorage, torch.HalfStorage = FloatStorage, HalfStorage
utils._rebuild_tensor_v2 = _rebuild_tensor_v2


class Storage:
    def __init__(self, kind, key, length):
        self.id = ("storage", kind, key, "cuda:0", length)


class Tensor:
    def __init__(self, file, shape, transposed=False, kind=FloatStorage):
        length = 1
        for side in shape:
            length *= side
        strides, step = [], 1
        for side in reversed(shape):
            strides.insert(0, step)
            step *= side
        if transposed:
            strides.reverse()
        self.storage = Storage(kind, str(len(file.storages)), length)
        self.rest = (0, tuple(shape), tuple(strides), False, OrderedDict())
        file.storages.append(struct.pack(f"<{length}f", *[i / 8 for i in range(length)]))

    def __reduce__(self):
        return _rebuild_tensor_v2, (self.storage, *self.rest)


class File:
    def __init__(self):
        self.storages = []

    def state(self, layout, prefix):
        return OrderedDict((prefix + key, Tensor(self, shape)) for key, shape in layout)

    def pickle(self, value):
        class Pickler(pickle.Pickler):
            def persistent_id(self, item):
                return item.id if isinstance(item, Storage) else None

        buffer = io.BytesIO()
        Pickler(buffer, 2).dump(value)
        return buffer.getvalue()

    def zip(self, value):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            entries = [("a/data.pkl", self.pickle(value)), ("a/byteorder", b"little")]
            entries += [(f"a/data/{i}", data) for i, data in enumerate(self.storages)]
            for name, data in entries:
                archive.writestr(zipfile.ZipInfo(name), data)
        return buffer.getvalue()


def affine(name, out, *inputs):
    return [(f"{name}.weight", [out, *inputs]), (f"{name}.bias", [out])]


def block(name, dim):
    parts = [("norm1", dim), ("attn.qkv", 3 * dim, dim), ("attn.proj", dim, dim), ("norm2", dim)]
    parts += [("mlp.fc1", dim, dim), ("mlp.fc2", dim, dim)]
    return [tensor for part, *shape in parts for tensor in affine(f"{name}.{part}", *shape)]


ENCODER = affine("patch_embed.proj", 4, 3, 2, 2, 2) + block("blocks.0", 4) + affine("norm", 4)
CROSS = "pooler.cross_attention_block"
PROBE = [("pooler.query_tokens", [1, 1, 4])] + [
    tensor
    for part, *shape in [
        ("norm1", 4), ("xattn.q", 4, 4), ("xattn.kv", 8, 4), ("norm2", 4), ("mlp.fc1", 4, 4),
        ("mlp.fc2", 4, 4),
    ]
    for tensor in affine(f"{CROSS}.{part}", *shape)
] + affine("regressor", 1, 4) + [("view_embed.weight", [2, 4]), ("clip_embed.weight", [2, 4])]


def checkpoint(file):
    return {
        "encoder": {}, "opt": {"state": {0: {"step": Tensor(file, [], kind=HalfStorage)}}},
        "target_encoder": file.state(ENCODER, "module.backbone."), "epoch": 3, "loss": 0.5,
        "views": file.state([("a", [2, 3])], "") | {"t": Tensor(file, [2, 3], transposed=True)},
    }


def probe(file):
    heads = [file.state(PROBE, "module."), file.state(PROBE, "module.")]
    return {"classifiers": heads, "val_acc_per_head": [4.5, 4.9], "task_type": "regression",
            "scaler": [None], "big": 1 << 40, "flags": (True, False)}


def main(folder):
    for target in ["pickle", "zip"]:
        (folder / target).mkdir(parents=True, exist_ok=True)
    for name, make in [("checkpoint", checkpoint), ("probe", probe)]:
        file = File()
        (folder / "pickle" / name).write_bytes(file.pickle(make(file)))
        file = File()
        (folder / "zip" / name).write_bytes(file.zip(make(file)))
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    data = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "zip" / "safetensors").write_bytes(data)


main(Path(sys.argv[1]))
