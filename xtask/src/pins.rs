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
        into: layout.echocart().join("lib").join("onnxruntime-1.28.0"),
        members: vec![library, ORT_LICENSE, ORT_NOTICES],
    })
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
            cine(&layout()),
        ];
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
