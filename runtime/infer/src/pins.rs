//! The libraries this version may load, by size and hash.
//!
//! # Source
//! Files inside the PyPI wheels `onnxruntime==1.28.0`, `onnxruntime-openvino==1.24.1` and
//! `onnxruntime-gpu==1.28.0` (`cp311`), and `onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0`. Wheels of
//! ONNX Runtime from 1.29 on collect and upload usage data by default, so the versions are fixed.

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

/// The plain build, which the CPU's family has alone and TensorRT-RTX's has beside the plug-in.
const X86_64: PinnedLibrary = pinned(
    "libonnxruntime.so.1.28.0",
    24_272_944,
    "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
);
const AARCH64: PinnedLibrary = pinned(
    "libonnxruntime.so.1.28.0",
    20_657_248,
    "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
);

/// Every library this version may load. Where two sets hold the same library, what lies beside it
/// says which one is meant.
pub const PINNED: [PinnedSet; 6] = [
    PinnedSet {
        family: Family::Cpu,
        version: "1.28.0",
        with: "",
        arch: "x86_64",
        folder: "onnxruntime-1.28.0",
        library: X86_64,
        beside: &[],
    },
    PinnedSet {
        family: Family::Cpu,
        version: "1.28.0",
        with: "",
        arch: "aarch64",
        folder: "onnxruntime-1.28.0",
        library: AARCH64,
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
    PinnedSet {
        family: Family::Rtx,
        version: "1.28.0",
        with: "TensorRT-RTX plug-in 0.5.0",
        arch: "x86_64",
        folder: "tensorrt-rtx-0.5.0",
        library: X86_64,
        beside: &[
            pinned(
                "libonnxruntime_providers_nv_tensorrt_rtx.so",
                5_113_208,
                "d83dde283dd583376fa17b49fbc9d7c85674ae1a077f7e5671f79c4e2f056d78",
            ),
            pinned(
                "libcudart.so.13",
                798_496,
                "82d50fc923566a86ff5449cb190d58007a26280669b4f62be2c284cacb51ed24",
            ),
            pinned(
                "libtensorrt_rtx.so.1",
                234_013_248,
                "6980f8946580af43f06ccbd82a06c65d61638ff76329d726764a0a408747be84",
            ),
            pinned(
                "libtensorrt_onnxparser_rtx.so.1",
                4_097_984,
                "8bc09093b0e460f494d0410d8a2d2739b3e4de441d016e1f8ffa74bfb99a49aa",
            ),
        ],
    },
    PinnedSet {
        family: Family::Rtx,
        version: "1.28.0",
        with: "TensorRT-RTX plug-in 0.5.0",
        arch: "aarch64",
        folder: "tensorrt-rtx-0.5.0",
        library: AARCH64,
        beside: &[
            pinned(
                "libonnxruntime_providers_nv_tensorrt_rtx.so",
                4_618_848,
                "e5bfbd98a3845489672481f6632def361d730af6b0b5f45b716fb6a279b7b4f7",
            ),
            pinned(
                "libcudart.so.13",
                793_872,
                "20041c8eafd0ec3cdf884d20152d565acbf63b68f417a70be18d78bd2e8f7b86",
            ),
            pinned(
                "libtensorrt_rtx.so.1",
                213_678_008,
                "fa95f5785feb6210f872419a5ded4c340b5c22cf23fdace92b01a5627a8da77b",
            ),
            pinned(
                "libtensorrt_onnxparser_rtx.so.1",
                3_361_776,
                "e0d66b6fe8d7b443d9e10436c2b89ce2435db7e8d34f931971a8a463c50b5084",
            ),
        ],
    },
];

/// Files that may lie in a library's folder beside the libraries.
pub const PAPERS: [&str; 3] = ["LICENSE", "ThirdPartyNotices.txt", "Acknowledgements.txt"];

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
