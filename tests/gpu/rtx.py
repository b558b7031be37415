"""Tries TensorRT for RTX once: compiles and runs the smallest network for this machine's chip, and prints what it answers. rtx.py WHEELS"""

import ctypes
import pathlib
import sys


def main():
    folder = pathlib.Path(sys.argv[1])
    if not folder.is_dir():
        print(f"not tried: no folder {folder} with its wheels")
        return
    sys.path.insert(0, str(folder))
    try:
        for name in sorted(folder.glob("tensorrt_rtx_libs/lib*.so*")):
            ctypes.CDLL(str(name), mode=ctypes.RTLD_GLOBAL)
        from tensorrt_rtx_bindings import tensorrt_rtx as trt

        logger = trt.Logger(trt.Logger.WARNING)
        builder = trt.Builder(logger)
        network = builder.create_network(1)
        given = network.add_input("x", trt.float32, (4,))
        total = network.add_elementwise(given, given, trt.ElementWiseOperation.SUM)
        network.mark_output(total.get_output(0))
        engine = builder.build_serialized_network(network, builder.create_builder_config())
        print("compiled for this chip" if engine else "refused to compile for this chip")
        if engine:
            runtime = trt.Runtime(logger).deserialize_cuda_engine(engine)
            print("loads on this chip" if runtime else "refused to load on this chip")
    except Exception as error:
        print(f"answers: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


if __name__ == "__main__":
    main()
