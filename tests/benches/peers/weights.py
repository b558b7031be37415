"""The weights that `echocart export --generated-weights` makes, and a recipe for them."""

import json
import pathlib

import numpy as np

FRAMES, SIDE, PATCH, TUBELET = 16, 224, 16, 2
DIM, HEADS, HIDDEN = 1024, 16, 4096
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LABELS = ("A2C", "A4C", "Other")
OUTLIERS, FACTOR = tuple(range(64, DIM, 128)), np.float32(40.0)


def uniform(name, count):
    """`2 u - 1` for the splitmix64 stream of a name."""
    state = np.uint64(0xCBF29CE484222325)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            state = (state ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        z = state + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return 2.0 * ((z >> np.uint64(11)).astype(np.float64) * 2.0**-53) - 1.0


def tensor(tag, group, key, shape):
    s = uniform(f"{tag}/{group}/{key}", int(np.prod(shape))).reshape(shape)
    if key.endswith("norm.weight") or "norm1.weight" in key or "norm2.weight" in key:
        s = 1.0 + 0.1 * s
    elif key.endswith("bias"):
        s = 0.02 * s
    else:
        gain = 3.0 if ".attn.qkv." in key else 1.7
        s = gain / np.sqrt(np.prod(shape[1:])) * s
    return s.astype(np.float32)


def shapes(depth):
    """Encoder tensors in the original model's names."""
    layers = [("patch_embed.proj", (DIM, 3, TUBELET, PATCH, PATCH))]
    for i in range(depth):
        b = f"blocks.{i}."
        layers += [(b + "norm1", (DIM,)), (b + "attn.qkv", (3 * DIM, DIM)), (b + "attn.proj", (DIM, DIM))]
        layers += [(b + "norm2", (DIM,)), (b + "mlp.fc1", (HIDDEN, DIM)), (b + "mlp.fc2", (DIM, HIDDEN))]
    layers.append(("norm", (DIM,)))
    return {f"{name}.{part}": shape if part == "weight" else shape[:1] for name, shape in layers for part in ("weight", "bias")}


def encoder(tag, depth, outliers):
    weights = {key: tensor(tag, "encoder", key, shape) for key, shape in shapes(depth).items()}
    if outliers:
        channels = list(OUTLIERS)
        for i in range(depth):
            for norm, layer in (("norm1", "attn.qkv"), ("norm2", "mlp.fc1")):
                for part in ("weight", "bias"):
                    weights[f"blocks.{i}.{norm}.{part}"][channels] *= FACTOR
                weights[f"blocks.{i}.{layer}.weight"][:, channels] *= np.float32(1.0) / FACTOR
    return weights


def write_recipe(path, depth, probe_depth):
    """The demo's recipe at this size; `probe_depth` 0 stands for linear probes of one clip."""
    demo = pathlib.Path(__file__).parents[3] / "configs/models/demo.toml"
    old = demo.read_text()
    new = old[: old.index("[encoder]")].replace("echojepa-demo", "peers") + f"""[encoder]
family = "vjepa2"
dim = {DIM}
depth = {depth}
heads = {HEADS}
mlp_ratio = {HIDDEN / DIM}
frames = {FRAMES}
height_px = {SIDE}
width_px = {SIDE}
tubelet_frames = {TUBELET}
patch_px = {PATCH}
channels = 3

""" + old[old.index("[sampling]") : old.index("[preprocess]")].replace("hop_slots = 2 ", "hop_slots = 16 ")
    new += old[old.index("[preprocess]") : old.index("steps = [")]
    new += f'steps = [{{ op = "squash", width_px = {SIDE}, height_px = {SIDE} }}]\n\n[view]\nthreshold = 0.0\n'
    labels = json.dumps(LABELS)
    for name, head in {
        "view": f'kind = "classification"\nlabels = {labels}',
        "lvef": f'kind = "regression"\nunit = "%"\nmean = 57.0\nstd = 11.0\nrange = [5.0, 85.0]\nrequired_views = {labels}',
    }.items():
        probe = f'probe = "attentive"\nheads = {HEADS}\ndepth = {probe_depth}' if probe_depth else 'probe = "linear"'
        segments = 2 if probe_depth and name == "lvef" else 1
        new += f"\n[heads.{name}]\nsegments = {segments}\n{probe}\n\n[heads.{name}.output]\n{head}\n"
    path.write_text(new + "\n" + old[old.index("[limits]") :])
