"""Cines for calibration and for the comparison: one real cine at the model's own size and rate, in four looks; or noise."""

import datetime
import pathlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid
from weights import FRAMES, MEAN, PATCH, SIDE, STD, TUBELET, uniform

HELD_OUT = 2 * FRAMES


def frames(path):
    """The demo's cine as `[n, side, side, 3]` bytes."""
    source = pydicom.dcmread(path)
    pixels = source.pixel_array
    if source.PhotometricInterpretation.startswith("YBR"):
        pixels = pydicom.pixels.convert_color_space(pixels, source.PhotometricInterpretation, "RGB")
    small = [Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for f in pixels]
    return np.stack([np.asarray(f) for f in small])


def looks(pixels):
    """As it is, mirrored, darker, and with half the contrast and more gain."""
    darker = (255.0 * (pixels / 255.0) ** 1.6).round().astype(np.uint8)
    flatter = (pixels * 0.5 + 60.0).round().astype(np.uint8)
    return [pixels, np.ascontiguousarray(pixels[:, :, ::-1]), darker, flatter]


def write(path, pixels):
    """Uncompressed multi-frame DICOM at 8 frames/s, so that a slot is a frame."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Modality = "US"
    file.PatientID, file.PatientName = "peers", "peers"
    file.NumberOfFrames, file.Rows, file.Columns = pixels.shape[:3]
    file.SamplesPerPixel, file.PlanarConfiguration, file.PhotometricInterpretation = 3, 0, "RGB"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.FrameTime = "125"
    file.FrameIncrementPointer = 0x00181063
    file.PixelData = np.ascontiguousarray(pixels).tobytes()
    file.save_as(path, enforce_file_format=True)


def clips(pixels):
    """Whole clips as the encoder's input `[1, 3, frames, side, side]`."""
    whole = (pixels / 255.0 - MEAN) / STD
    count = len(pixels) // FRAMES
    return [
        np.ascontiguousarray(whole[i * FRAMES : (i + 1) * FRAMES].transpose(3, 0, 1, 2)[None], dtype=np.float32)
        for i in range(count)
    ]


def rows(clip):
    """The same clip as patch rows `[1, tokens, row]`."""
    t, s = FRAMES // TUBELET, SIDE // PATCH
    x = clip.reshape(3, t, TUBELET, s, PATCH, s, PATCH).transpose(1, 3, 5, 0, 2, 4, 6)
    return np.ascontiguousarray(x.reshape(1, t * s * s, -1))


def noise(count, seed):
    """Cines of pixels that know nothing of each other."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8) for _ in range(4)]


def golden(count):
    """Inputs of the golden case `vitl-224`: uniform from -2 to 2."""
    shape = (1, 3, FRAMES, SIDE, SIDE)
    return [(2.0 * uniform(f"vitl-224/clip{i}", int(np.prod(shape)))).reshape(shape).astype(np.float32) for i in range(count)]


def prepare(cine, out):
    """Files for `echocart` and the same clips as arrays; without a cine, noise and the golden case's inputs."""
    out.mkdir(parents=True, exist_ok=True)
    if cine:
        pixels = frames(cine)
        parts = {"calibrate": looks(pixels[: 5 * FRAMES]), "held-out": looks(pixels[-HELD_OUT:])}
    else:
        parts = {"calibrate": noise(5 * FRAMES, 1), "held-out": noise(HELD_OUT, 2)}
    files = {part: [] for part in parts}
    for part, looked in parts.items():
        for index, look in enumerate(looked):
            files[part].append(out / f"{part}-{index}.dcm")
            write(files[part][-1], look)
    ready = {part: [c for look in looked for c in clips(look)] for part, looked in parts.items()}
    if not cine:
        ready["held-out"] = golden(len(ready["held-out"]))
    return files, ready
