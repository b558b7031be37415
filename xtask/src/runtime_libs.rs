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
}

impl RuntimeLibs {
    /// Fetches what is missing and says what must come from elsewhere.
    ///
    /// # Errors
    /// The first thing that could not be installed or fetched.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        let wheel = self.provider.wheel(layout, std::env::consts::ARCH)?;
        let missing = !wheels::lacking(&wheel)?.is_empty();
        if missing && !self.no_system {
            debian::install_missing(Needs {
                pip: true,
                tests: false,
            })?;
        }
        if missing {
            let _lock = Lock::take(layout)?;
            let lacking = wheels::lacking(&wheel)?;
            if !lacking.is_empty() {
                wheels::fetch(&wheel, &lacking, layout)?;
            }
        }
        println!("{}: {}", wheel.title, layout.short(&wheel.into).display());
        if let Some(rest) = self.provider.needs_besides() {
            println!("{rest}");
        }
        println!("`echocart doctor` says what is usable here");
        Ok(())
    }
}

impl Provider {
    fn wheel(self, layout: &Layout, architecture: &str) -> Result<Wheel> {
        match self {
            Self::Cpu => pins::onnx_runtime(layout, architecture),
            Self::Openvino => pins::openvino(layout, architecture),
            Self::Cuda | Self::Tensorrt => pins::cuda(layout, architecture),
        }
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
            let error = provider.wheel(&layout(), "aarch64").unwrap_err();
            assert!(error.to_string().ends_with("found aarch64"), "{error}");
        }
        Provider::Cpu.wheel(&layout(), "aarch64").unwrap();
    }

    #[test]
    fn the_runtime_knows_every_library_that_is_fetched() {
        let known = include_str!("../../runtime/infer/src/pins.rs");
        for provider in Provider::value_variants() {
            let wheel = provider.wheel(&layout(), "x86_64").unwrap();
            let libraries = wheel.members.iter().filter(|m| m.name.contains(".so"));
            for library in libraries {
                assert!(known.contains(library.pin.sha256), "{}", library.name);
            }
        }
    }
}
