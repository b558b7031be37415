//! `cargo xtask runtime-libs`: what one engine provider needs beyond the set-up.

use crate::debian::{self, Needs};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::pins::{self, Wheel};
use crate::wheels;
use anyhow::Result;
use clap::{Args, ValueEnum};

/// Which provider's libraries to fetch.
#[derive(Debug, Args)]
pub struct RuntimeLibs {
    /// The provider
    #[arg(long, value_enum)]
    provider: Provider,
    /// Do not look for Debian packages, and install none
    #[arg(long)]
    no_system: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Provider {
    /// ONNX Runtime's own kernels; part of the set-up
    Cpu,
    /// Intel's OpenVINO on x86-64 CPUs of Intel and AMD, 84 MB
    Openvino,
    /// NVIDIA GPUs, 250 MB; CUDA 13 and cuDNN 9 come from the system
    Cuda,
    /// The same download as CUDA; TensorRT 10 comes from the system
    Tensorrt,
    /// NVIDIA's plug-in for RTX GPUs, 166 MB; only the driver comes from the system
    TensorrtRtx,
}

impl RuntimeLibs {
    /// Fetches what is missing and says what must come from elsewhere.
    ///
    /// # Errors
    /// The first thing that could not be installed or fetched.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        let wheels = self.provider.wheels(layout, std::env::consts::ARCH)?;
        let mut missing = false;
        for wheel in &wheels {
            missing |= !wheels::lacking(wheel)?.is_empty();
        }
        if missing && !self.no_system {
            debian::install_missing(Needs {
                pip: true,
                tests: false,
            })?;
        }
        if missing {
            let _lock = Lock::take(layout)?;
            for wheel in &wheels {
                let lacking = wheels::lacking(wheel)?;
                if !lacking.is_empty() {
                    wheels::fetch(wheel, &lacking, layout)?;
                }
            }
        }
        for wheel in &wheels {
            println!("{}: {}", wheel.title, layout.short(&wheel.into).display());
        }
        if let Some(rest) = self.provider.needs_besides() {
            println!("{rest}");
        }
        println!("`echocart doctor` says what is usable here");
        Ok(())
    }
}

impl Provider {
    fn wheels(self, layout: &Layout, architecture: &str) -> Result<Vec<Wheel>> {
        Ok(match self {
            Self::Cpu => vec![pins::onnx_runtime(layout, architecture)?],
            Self::Openvino => vec![pins::openvino(layout, architecture)?],
            Self::Cuda | Self::Tensorrt => vec![pins::cuda(layout, architecture)?],
            Self::TensorrtRtx => pins::tensorrt_rtx(layout, architecture)?.into(),
        })
    }

    fn needs_besides(self) -> Option<&'static str> {
        match self {
            Self::Cpu | Self::Openvino => None,
            Self::Cuda => Some(
                "not fetched, must be on the system: an NVIDIA driver for CUDA 13, libcudart.so.13, \
                 libcublas.so.13, libcublasLt.so.13, libcurand.so.10, libcudnn.so.9",
            ),
            Self::Tensorrt => Some(
                "not fetched, must be on the system: what CUDA needs, libnvinfer.so.10 and \
                 libnvonnxparser.so.10 of NVIDIA TensorRT 10",
            ),
            Self::TensorrtRtx => Some(
                "not fetched, must be on the system: an NVIDIA driver for CUDA 13 (libcuda.so.1, \
                 libnvidia-ml.so.1)",
            ),
        }
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
    fn an_architecture_without_a_wheel_is_named() {
        for provider in [Provider::Openvino, Provider::Cuda, Provider::Tensorrt] {
            let error = provider.wheels(&layout(), "aarch64").unwrap_err();
            assert!(error.to_string().ends_with("found aarch64"), "{error}");
        }
        for provider in [Provider::Cpu, Provider::TensorrtRtx] {
            provider.wheels(&layout(), "aarch64").unwrap();
        }
    }

    #[test]
    fn the_runtime_knows_every_library_that_is_fetched() {
        let known = include_str!("../../runtime/infer/src/pins.rs");
        for provider in Provider::value_variants() {
            let wheels = provider.wheels(&layout(), "x86_64").unwrap();
            let members = wheels.iter().flat_map(|wheel| &wheel.members);
            for library in members.filter(|m| m.name.contains(".so")) {
                assert!(known.contains(library.pin.sha256), "{}", library.name);
            }
        }
    }
}
