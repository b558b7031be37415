//! The pinned files: where they come from, where they go, and their hashes.

use crate::digest::Pin;
use crate::layout::Layout;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// A wheel file on the Python package index, and what is taken from it.
#[derive(Debug, Clone)]
pub struct Wheel {
    /// What it is, for people.
    pub title: &'static str,
    /// Name and version for pip.
    pub requirement: &'static str,
    /// Platform tags that make every Python choose the same file.
    pub platforms: &'static [&'static str],
    /// Name of the file.
    pub file: &'static str,
    /// Size and hash of the file.
    pub pin: Pin,
    /// Where the members go.
    pub into: PathBuf,
    /// The members taken.
    pub members: Vec<Member>,
}

/// A file inside a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its path in the wheel.
    pub path: &'static str,
    /// Its name on disk.
    pub name: &'static str,
    /// Its size and hash.
    pub pin: Pin,
}

const fn member(
    path: &'static str,
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
) -> Member {
    Member {
        path,
        name,
        pin: Pin { bytes, sha256 },
    }
}

const ORT_LICENSE: Member = member(
    "onnxruntime/LICENSE",
    "LICENSE",
    1_073,
    "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
);
const ORT_NOTICES: Member = member(
    "onnxruntime/ThirdPartyNotices.txt",
    "ThirdPartyNotices.txt",
    325_054,
    "0e07b95f3a8d6230037707c5c4a2b554d12c4cb67369669ac255635528ffcee2",
);

/// ONNX Runtime 1.28.0, which has no telemetry, for a CPU architecture.
///
/// # Errors
/// When no wheel is pinned for the architecture.
pub fn onnx_runtime(layout: &Layout, architecture: &str) -> Result<Wheel> {
    const PATH: &str = "onnxruntime/capi/libonnxruntime.so.1.28.0";
    const NAME: &str = "libonnxruntime.so.1.28.0";
    let (platforms, file, pin, library): (&[&str], _, _, _) = match architecture {
        "x86_64" => (
            &["manylinux_2_27_x86_64", "manylinux_2_28_x86_64"],
            "onnxruntime-1.28.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
            Pin {
                bytes: 19_193_162,
                sha256: "a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5",
            },
            member(
                PATH,
                NAME,
                24_272_944,
                "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
            ),
        ),
        "aarch64" => (
            &["manylinux_2_27_aarch64", "manylinux_2_28_aarch64"],
            "onnxruntime-1.28.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
            Pin {
                bytes: 17_039_880,
                sha256: "8d66f9ceb29909c70839e4e4fb3435c7b490050d8f162bd5f3aba4ca01ee517f",
            },
            member(
                PATH,
                NAME,
                20_657_248,
                "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
            ),
        ),
        other => bail!("no ONNX Runtime is pinned here: expected x86_64 or aarch64, found {other}"),
    };
    Ok(Wheel {
        title: "ONNX Runtime 1.28.0",
        requirement: "onnxruntime==1.28.0",
        platforms,
        file,
        pin,
        into: layout.library_folder("onnxruntime-1.28.0"),
        members: vec![library, ORT_LICENSE, ORT_NOTICES],
    })
}

/// ONNX Runtime 1.24.1 with the OpenVINO provider, and the OpenVINO 2025.4.1 that it needs on a CPU.
///
/// # Errors
/// When no wheel is pinned for the architecture.
pub fn openvino(layout: &Layout, architecture: &str) -> Result<Wheel> {
    if architecture != "x86_64" {
        bail!(
            "OpenVINO is only pinned for one architecture: expected x86_64, found {architecture}"
        );
    }
    Ok(Wheel {
        title: "ONNX Runtime 1.24.1 with OpenVINO 2025.4.1",
        requirement: "onnxruntime-openvino==1.24.1",
        platforms: &["manylinux_2_28_x86_64"],
        file: "onnxruntime_openvino-1.24.1-cp311-cp311-manylinux_2_28_x86_64.whl",
        pin: Pin {
            bytes: 84_430_935,
            sha256: "3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8",
        },
        into: layout.library_folder("openvino-1.24.1"),
        members: vec![
            member(
                "onnxruntime/capi/libonnxruntime.so.1.24.1",
                "libonnxruntime.so.1.24.1",
                31_260_360,
                "2d963a419b96018b79dfe63bb50120ddcb724149912a8a6d8ac747a557c089f4",
            ),
            member(
                "onnxruntime/capi/libonnxruntime_providers_shared.so",
                "libonnxruntime_providers_shared.so",
                15_776,
                "5e02c1ff90e7d71365264dbb6767c00f04a8b57a96cddbc0085c61fa1393250d",
            ),
            member(
                "onnxruntime/capi/libonnxruntime_providers_openvino.so",
                "libonnxruntime_providers_openvino.so",
                2_000_856,
                "bf0159d2681d76e7de03fbd302a9204e5490f30816bd41826d57acf7a8dff363",
            ),
            member(
                "onnxruntime/capi/libopenvino.so.2541",
                "libopenvino.so.2541",
                25_284_089,
                "ac9634b715a242a61644c77bc38f17508fe73f517e418027e2410f4bee004943",
            ),
            member(
                "onnxruntime/capi/libopenvino_intel_cpu_plugin.so",
                "libopenvino_intel_cpu_plugin.so",
                67_008_289,
                "034df890550ae9199fe5f8608c0df8fd0fe355f303bad56bea10bae14c14c3cb",
            ),
            member(
                "onnxruntime/capi/libopenvino_onnx_frontend.so.2541",
                "libopenvino_onnx_frontend.so.2541",
                7_006_249,
                "f426710881d8c1a01d5ed6d7eaa076d923b19983d3ab3a18bb19d25dba7d8923",
            ),
            member(
                "onnxruntime/capi/libtbb.so.12",
                "libtbb.so.12",
                367_649,
                "6781dc6aa8b2ca237d0164258e70266a44667756c02a9a039782ec1d1a67b653",
            ),
            ORT_LICENSE,
            ORT_NOTICES,
        ],
    })
}

/// ONNX Runtime 1.28.0 with the CUDA and TensorRT providers.
///
/// NVIDIA's own libraries (CUDA 13, cuDNN 9, TensorRT 10) are not part of it.
///
/// # Errors
/// When no wheel is pinned for the architecture.
pub fn cuda(layout: &Layout, architecture: &str) -> Result<Wheel> {
    if architecture != "x86_64" {
        bail!("CUDA is only pinned for one architecture: expected x86_64, found {architecture}");
    }
    Ok(Wheel {
        title: "ONNX Runtime 1.28.0 with the CUDA and TensorRT providers",
        requirement: "onnxruntime-gpu==1.28.0",
        platforms: &["manylinux_2_27_x86_64", "manylinux_2_28_x86_64"],
        file: "onnxruntime_gpu-1.28.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        pin: Pin {
            bytes: 249_753_828,
            sha256: "774d4c307317f7a0fefc33930820b7ac2a62be2c595e6a1e63e318555f7176b8",
        },
        into: layout.library_folder("cuda-1.28.0"),
        members: vec![
            member(
                "onnxruntime/capi/libonnxruntime.so.1.28.0",
                "libonnxruntime.so.1.28.0",
                24_350_768,
                "018d05f615e96f6e0cfb95d2865f63915681d5d2688dd187f599822b245d27bc",
            ),
            member(
                "onnxruntime/capi/libonnxruntime_providers_shared.so",
                "libonnxruntime_providers_shared.so",
                14_632,
                "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
            ),
            member(
                "onnxruntime/capi/libonnxruntime_providers_cuda.so",
                "libonnxruntime_providers_cuda.so",
                279_775_016,
                "5a42fe417acc839cb605f37acd2fbf70357dfa43a2464de143e28090df5290ef",
            ),
            member(
                "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
                "libonnxruntime_providers_tensorrt.so",
                768_984,
                "4104f8d1055b56c25d4967ff7e71e0978efa0c79480c8c670beb7a0b61ff4bb5",
            ),
            ORT_LICENSE,
            ORT_NOTICES,
        ],
    })
}

/// ONNX Runtime 1.28.0 and, into the same folder, NVIDIA's TensorRT-RTX plug-in for it.
///
/// The driver is not part of it. `libtensorrt_plugins.so` of the wheel is left out: our graphs have
/// no operators of it.
///
/// # Errors
/// When no wheels are pinned for the architecture.
pub fn tensorrt_rtx(layout: &Layout, architecture: &str) -> Result<[Wheel; 2]> {
    let into = layout.library_folder("tensorrt-rtx-0.5.0");
    let runtime = onnx_runtime(layout, architecture)?;
    let (platforms, file, pin, libraries): (&[&str], _, _, Vec<Member>) = match architecture {
        "x86_64" => (
            &["manylinux_2_28_x86_64"],
            "onnxruntime_ep_nv_tensorrt_rtx_cu13-0.5.0-py3-none-manylinux_2_28_x86_64.whl",
            Pin {
                bytes: 146_476_965,
                sha256: "32f575c633d171b4edf4b53d3bb22b72a6c9c0a850d2982ce9a788a5d40d3298",
            },
            vec![
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libonnxruntime_providers_nv_tensorrt_rtx.so",
                    "libonnxruntime_providers_nv_tensorrt_rtx.so",
                    5_113_208,
                    "d83dde283dd583376fa17b49fbc9d7c85674ae1a077f7e5671f79c4e2f056d78",
                ),
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libcudart.so.13.4.36",
                    "libcudart.so.13",
                    798_496,
                    "82d50fc923566a86ff5449cb190d58007a26280669b4f62be2c284cacb51ed24",
                ),
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_rtx.so.1.7.1",
                    "libtensorrt_rtx.so.1",
                    234_013_248,
                    "6980f8946580af43f06ccbd82a06c65d61638ff76329d726764a0a408747be84",
                ),
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_onnxparser_rtx.so.1.7.1",
                    "libtensorrt_onnxparser_rtx.so.1",
                    4_097_984,
                    "8bc09093b0e460f494d0410d8a2d2739b3e4de441d016e1f8ffa74bfb99a49aa",
                ),
            ],
        ),
        "aarch64" => (
            &["manylinux_2_35_aarch64"],
            "onnxruntime_ep_nv_tensorrt_rtx_cu13-0.5.0-py3-none-manylinux_2_35_aarch64.whl",
            Pin {
                bytes: 134_855_549,
                sha256: "1f0bb2b89bb3dfd43096fccb8ec1f581c266c5852c4e6ba672b7bf790c8c96c2",
            },
            vec![
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libonnxruntime_providers_nv_tensorrt_rtx.so",
                    "libonnxruntime_providers_nv_tensorrt_rtx.so",
                    4_618_848,
                    "e5bfbd98a3845489672481f6632def361d730af6b0b5f45b716fb6a279b7b4f7",
                ),
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libcudart.so.13.4.46",
                    "libcudart.so.13",
                    793_872,
                    "20041c8eafd0ec3cdf884d20152d565acbf63b68f417a70be18d78bd2e8f7b86",
                ),
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_rtx.so.1.7.1",
                    "libtensorrt_rtx.so.1",
                    213_678_008,
                    "fa95f5785feb6210f872419a5ded4c340b5c22cf23fdace92b01a5627a8da77b",
                ),
                member(
                    "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_onnxparser_rtx.so.1.7.1",
                    "libtensorrt_onnxparser_rtx.so.1",
                    3_361_776,
                    "e0d66b6fe8d7b443d9e10436c2b89ce2435db7e8d34f931971a8a463c50b5084",
                ),
            ],
        ),
        other => bail!(
            "no TensorRT-RTX plug-in is pinned here: expected x86_64 or aarch64, found {other}"
        ),
    };
    let mut members = libraries;
    members.push(member(
        "onnxruntime_ep_nv_tensorrt_rtx/Acknowledgements.txt",
        "Acknowledgements.txt",
        105_200,
        "3b67e831a770f7daf66a7a0772cc23e6a22fd5e3fb8ffef74c4a717357d2a096",
    ));
    let plugin = Wheel {
        title: "TensorRT-RTX plug-in 0.5.0",
        requirement: "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0",
        platforms,
        file,
        pin,
        into: into.clone(),
        members,
    };
    Ok([Wheel { into, ..runtime }, plugin])
}

/// NVIDIA's ahead-of-time compiler of TensorRT for RTX 1.7.1, and what it needs on a machine without a GPU.
///
/// # Errors
/// When no wheels are pinned for the architecture.
pub fn tensorrt(layout: &Layout, architecture: &str) -> Result<[Wheel; 3]> {
    if architecture != "x86_64" {
        bail!(
            "TensorRT for RTX is only pinned for one architecture: expected x86_64, found {architecture}"
        );
    }
    let wheel = |title, requirement, platforms, file, pin, members| Wheel {
        title,
        requirement,
        platforms,
        file,
        pin,
        into: layout.tensorrt(),
        members,
    };
    let libraries = wheel(
        "TensorRT for RTX 1.7.1",
        "tensorrt-rtx-cu13-libs==1.7.1.116",
        &["manylinux_2_28_x86_64"],
        "tensorrt_rtx_cu13_libs-1.7.1.116-py3-none-manylinux_2_28_x86_64.whl",
        Pin {
            bytes: 95_153_708,
            sha256: "e3fd45fed001240d63304e77a2d4006319b839994237cb294b6e7ad72acaabcd",
        },
        vec![
            member(
                "tensorrt_rtx_libs/libtensorrt_rtx.so.1",
                "libtensorrt_rtx.so.1",
                234_013_248,
                "a74fa3974f1892b65a53b06a14ffcb15758ac51c12135ada84490f53f67e1051",
            ),
            member(
                "tensorrt_rtx_libs/libtensorrt_onnxparser_rtx.so.1",
                "libtensorrt_onnxparser_rtx.so.1",
                4_097_984,
                "27be1f67ef28683b54390b6cbc7ec3efc75b39c8ebc4c683cb8603bcfd0b8896",
            ),
            member(
                "tensorrt_rtx_cu13_libs-1.7.1.116.dist-info/licenses/LICENSE.txt",
                "LICENSE-tensorrt.txt",
                46_961,
                "64bd290f0251405f783ba1d2e155c500542be69795e51147a1d9f11a57bda8cc",
            ),
        ],
    );
    let bindings = wheel(
        "TensorRT for RTX 1.7.1 for Python 3.11",
        "tensorrt-rtx-cu13-bindings==1.7.1.116",
        &["manylinux_2_28_x86_64"],
        "tensorrt_rtx_cu13_bindings-1.7.1.116-cp311-none-manylinux_2_28_x86_64.whl",
        Pin {
            bytes: 1_232_170,
            sha256: "6a4d2bf39a98b71238046b9a9dd22d0e6b146be90cd56ac09f1e068933e4e18d",
        },
        vec![member(
            "tensorrt_rtx_bindings/tensorrt_rtx.so",
            "tensorrt_rtx.so",
            5_404_288,
            "0b99b614d4108941cd4670142e46959559304ac53c9e9342c3884aca0f17774b",
        )],
    );
    let runtime = wheel(
        "the CUDA 13 runtime library",
        "nvidia-cuda-runtime==13.0.96",
        &["manylinux2014_x86_64", "manylinux_2_17_x86_64"],
        "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        Pin {
            bytes: 2_243_632,
            sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        },
        vec![
            member(
                "nvidia/cu13/lib/libcudart.so.13",
                "libcudart.so.13",
                704_288,
                "96c42e418cec19054186b9429c321603cc190bf26a18104e19408117a2a817b0",
            ),
            member(
                "nvidia_cuda_runtime-13.0.96.dist-info/licenses/License.txt",
                "LICENSE-cuda.txt",
                59_262,
                "ad6f5853fba0ca0d159d0f58d49ae49830c2f8c93f7a92648b9ce90adb4c6ccd",
            ),
        ],
    );
    Ok([libraries, bindings, runtime])
}

/// Name of the demo's cine on disk.
pub const CINE: &str = "color3d_jpeg_baseline.dcm";

/// The real apical four-chamber cine of the demo.
pub fn cine(layout: &Layout) -> Wheel {
    Wheel {
        title: "a real apical four-chamber cine",
        requirement: "pydicom-data==1.0.0",
        platforms: &[],
        file: "pydicom_data-1.0.0-py3-none-any.whl",
        pin: Pin {
            bytes: 34_128_415,
            sha256: "622ac97265f1d91f76b5120b5bd6eb0f57737c392ef863b72c71779c91e33637",
        },
        into: layout.data(),
        members: vec![
            member(
                "data_store/data/color3d_jpeg_baseline.dcm",
                CINE,
                6_143_990,
                "c8798b8abf8ae0a18e8c9952e7c7f75f3cc8465234b1b63f9e3ba3bebb9d5625",
            ),
            member(
                "pydicom_data-1.0.0.dist-info/LICENSE",
                "pydicom-data-1.0.0.LICENSE",
                1_093,
                "aea0111e3016770d924580faacafb0564ff51262f366aec5a28a74c8ce3c9793",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            root: "root".into(),
        }
    }

    #[test]
    fn each_pinned_architecture_names_its_own_wheel_and_library() {
        let [x86, arm] = ["x86_64", "aarch64"].map(|name| onnx_runtime(&layout(), name).unwrap());
        for (wheel, name) in [(&x86, "x86_64"), (&arm, "aarch64")] {
            assert!(wheel.file.contains(name));
            assert!(wheel.platforms.iter().all(|tag| tag.ends_with(name)));
            assert!(wheel.file.contains("1.28.0") && wheel.requirement.ends_with("==1.28.0"));
        }
        assert_ne!(x86.pin, arm.pin);
        assert_ne!(x86.members[0].pin, arm.members[0].pin);
    }

    #[test]
    fn another_architecture_is_refused_by_name() {
        let error = onnx_runtime(&layout(), "riscv64").unwrap_err();
        assert!(error.to_string().ends_with("found riscv64"));
    }

    #[test]
    fn every_hash_is_64_lower_case_hex_digits() {
        let wheels = [
            onnx_runtime(&layout(), "x86_64").unwrap(),
            onnx_runtime(&layout(), "aarch64").unwrap(),
            openvino(&layout(), "x86_64").unwrap(),
            cuda(&layout(), "x86_64").unwrap(),
            cine(&layout()),
        ]
        .into_iter()
        .chain(tensorrt(&layout(), "x86_64").unwrap())
        .chain(tensorrt_rtx(&layout(), "x86_64").unwrap())
        .chain(tensorrt_rtx(&layout(), "aarch64").unwrap());
        let wheels: Vec<Wheel> = wheels.collect();
        let pins = wheels.iter().flat_map(|wheel| {
            std::iter::once(wheel.pin).chain(wheel.members.iter().map(|m| m.pin))
        });
        for pin in pins {
            assert_eq!(pin.sha256.len(), 64);
            let lower = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            assert!(pin.sha256.chars().all(lower));
        }
    }
}
