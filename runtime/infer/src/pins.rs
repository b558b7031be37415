//! The libraries this version may load, by size and hash.
//!
//! # Source
//! Files inside the PyPI wheels `onnxruntime==1.28.0`, `onnxruntime-openvino==1.24.1` and
//! `onnxruntime-gpu==1.28.0` (`cp311`). Wheels of ONNX Runtime from 1.29 on collect and upload
//! usage data by default, so the versions are fixed.

use crate::provider::Family;

/// A library file this version may load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedLibrary {
    /// File name.
    pub name: &'static str,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower case hex.
    pub sha256: &'static str,
}

/// An ONNX Runtime library and the files it loads from its own folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedSet {
    /// Which providers it was built with.
    pub family: Family,
    /// ONNX Runtime's version, for example `1.28.0`.
    pub version: &'static str,
    /// What else is inside, in words.
    pub with: &'static str,
    /// Architecture as in `std::env::consts::ARCH`.
    pub arch: &'static str,
    /// Folder below `.echocart/lib`.
    pub folder: &'static str,
    /// ONNX Runtime itself.
    pub library: PinnedLibrary,
    /// What must lie beside it.
    pub beside: &'static [PinnedLibrary],
}

const fn pinned(name: &'static str, bytes: u64, sha256: &'static str) -> PinnedLibrary {
    PinnedLibrary {
        name,
        bytes,
        sha256,
    }
}

/// Every library this version may load.
pub const PINNED: [PinnedSet; 4] = [
    PinnedSet {
        family: Family::Cpu,
        version: "1.28.0",
        with: "",
        arch: "x86_64",
        folder: "onnxruntime-1.28.0",
        library: pinned(
            "libonnxruntime.so.1.28.0",
            24_272_944,
            "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
        ),
        beside: &[],
    },
    PinnedSet {
        family: Family::Cpu,
        version: "1.28.0",
        with: "",
        arch: "aarch64",
        folder: "onnxruntime-1.28.0",
        library: pinned(
            "libonnxruntime.so.1.28.0",
            20_657_248,
            "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
        ),
        beside: &[],
    },
    PinnedSet {
        family: Family::OpenVino,
        version: "1.24.1",
        with: "OpenVINO 2025.4.1",
        arch: "x86_64",
        folder: "openvino-1.24.1",
        library: pinned(
            "libonnxruntime.so.1.24.1",
            31_260_360,
            "2d963a419b96018b79dfe63bb50120ddcb724149912a8a6d8ac747a557c089f4",
        ),
        beside: &[
            pinned(
                "libonnxruntime_providers_shared.so",
                15_776,
                "5e02c1ff90e7d71365264dbb6767c00f04a8b57a96cddbc0085c61fa1393250d",
            ),
            pinned(
                "libonnxruntime_providers_openvino.so",
                2_000_856,
                "bf0159d2681d76e7de03fbd302a9204e5490f30816bd41826d57acf7a8dff363",
            ),
            pinned(
                "libopenvino.so.2541",
                25_284_089,
                "ac9634b715a242a61644c77bc38f17508fe73f517e418027e2410f4bee004943",
            ),
            pinned(
                "libopenvino_intel_cpu_plugin.so",
                67_008_289,
                "034df890550ae9199fe5f8608c0df8fd0fe355f303bad56bea10bae14c14c3cb",
            ),
            pinned(
                "libopenvino_onnx_frontend.so.2541",
                7_006_249,
                "f426710881d8c1a01d5ed6d7eaa076d923b19983d3ab3a18bb19d25dba7d8923",
            ),
            pinned(
                "libtbb.so.12",
                367_649,
                "6781dc6aa8b2ca237d0164258e70266a44667756c02a9a039782ec1d1a67b653",
            ),
        ],
    },
    PinnedSet {
        family: Family::Cuda,
        version: "1.28.0",
        with: "CUDA 13 and TensorRT 10 providers",
        arch: "x86_64",
        folder: "cuda-1.28.0",
        library: pinned(
            "libonnxruntime.so.1.28.0",
            24_350_768,
            "018d05f615e96f6e0cfb95d2865f63915681d5d2688dd187f599822b245d27bc",
        ),
        beside: &[
            pinned(
                "libonnxruntime_providers_shared.so",
                14_632,
                "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
            ),
            pinned(
                "libonnxruntime_providers_cuda.so",
                279_775_016,
                "5a42fe417acc839cb605f37acd2fbf70357dfa43a2464de143e28090df5290ef",
            ),
            pinned(
                "libonnxruntime_providers_tensorrt.so",
                768_984,
                "4104f8d1055b56c25d4967ff7e71e0978efa0c79480c8c670beb7a0b61ff4bb5",
            ),
        ],
    },
];

/// Files that may lie in a library's folder beside the libraries.
pub const PAPERS: [&str; 2] = ["LICENSE", "ThirdPartyNotices.txt"];

impl PinnedSet {
    /// The set of a family for the architecture this was built for.
    pub fn of(family: Family) -> Option<&'static Self> {
        PINNED
            .iter()
            .find(|set| set.family == family && set.arch == std::env::consts::ARCH)
    }

    /// Name and version, for example `onnxruntime 1.28.0`.
    pub fn title(&self) -> String {
        let with = if self.with.is_empty() { "" } else { " with " };
        format!("onnxruntime {}{with}{}", self.version, self.with)
    }
}
