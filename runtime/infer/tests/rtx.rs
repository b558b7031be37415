//! NVIDIA's own plug-in on a machine without a GPU: it loads, and offers nothing.
//!
//! A process holds one ONNX Runtime library, so this one has a file of its own. It runs where
//! `cargo xtask runtime-libs --provider tensorrt-rtx` fetched the plug-in, and says so where not.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use echocart_infer::{
    EngineOptions, Family, Library, Provider, check_library, family_library_path, has_nvidia_gpu,
    smoke,
};
use std::path::Path;
use std::process::Command;

/// The driver's functions that the plug-in links, each of which finds no device.
const DRIVER: [(&str, &str); 2] = [
    (
        "libcuda.so.1",
        "cuCtxCreate_v4 cuCtxDestroy_v2 cuCtxGetCurrent cuCtxPopCurrent_v2 cuCtxPushCurrent_v2 \
         cuCtxSetCurrent cuDestroyExternalMemory cuDestroyExternalSemaphore \
         cuExternalMemoryGetMappedBuffer cuGetErrorString cuImportExternalMemory \
         cuImportExternalSemaphore cuInit cuSignalExternalSemaphoresAsync cuStreamGetCtx \
         cuWaitExternalSemaphoresAsync",
    ),
    (
        "libnvidia-ml.so.1",
        "nvmlErrorString nvmlInit_v2 nvmlShutdown nvmlSystemGetDriverVersion",
    ),
];
/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: u32 = 100;

fn load_driver(dir: &Path) {
    for (name, functions) in DRIVER {
        let source = dir.join("driver.c");
        let text: Vec<String> = functions
            .split_whitespace()
            .map(|function| format!("int {function}(void) {{ return {NO_DEVICE}; }}\n"))
            .collect();
        std::fs::write(&source, text.concat()).unwrap();
        let library = dir.join(name);
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-o"]).arg(&library);
        gcc.arg(format!("-Wl,-soname,{name}")).arg(&source);
        assert!(gcc.status().unwrap().success());
        ort::util::preload_dylib(&library).unwrap();
    }
}

#[test]
fn without_a_driver_and_without_a_device_it_says_what_it_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = family_library_path(&root, Family::Rtx).unwrap();
    if !path.exists() || has_nvidia_gpu() {
        println!("skipped: no plug-in here, or a GPU");
        return;
    }
    assert_eq!(check_library(&path).unwrap().family, Family::Rtx);
    let library = Library::load(&path).unwrap();
    assert_eq!(
        library.name(),
        "onnxruntime 1.28.0 with TensorRT-RTX plug-in 0.5.0"
    );
    let options = EngineOptions::new(Provider::TensorRtRtx, 1);
    let error = smoke(&library, &options).unwrap_err();
    assert!(error.contains("libcuda.so.1, libnvidia-ml.so.1"), "{error}");
    assert!(error.contains("install the NVIDIA driver"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    load_driver(dir.path());
    for _ in 0..2 {
        let error = smoke(&library, &options).unwrap_err();
        assert!(error.contains("compute capability 8.6"), "{error}");
        assert!(error.contains("nv_tensorrt_rtx.so"), "{error}");
    }
    let nodes = smoke(&library, &EngineOptions::new(Provider::Cpu, 1)).unwrap();
    assert_eq!(nodes["CPU"], 1);
}
