//! Providers, and which ONNX Runtime library each comes with.

use std::fmt;
use std::str::FromStr;

/// What runs a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// ONNX Runtime's own kernels.
    Cpu,
    /// Intel's OpenVINO, on x86-64 CPUs of Intel and AMD.
    OpenVino,
    /// CUDA kernels on an NVIDIA GPU.
    Cuda,
    /// TensorRT on an NVIDIA GPU.
    TensorRt,
    /// TensorRT for RTX on an NVIDIA GPU, a plug-in of ONNX Runtime.
    TensorRtRtx,
}

/// Libraries that one process cannot hold together: one ONNX Runtime build each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The plain build.
    Cpu,
    /// The build with the OpenVINO provider.
    OpenVino,
    /// The build with the CUDA and TensorRT providers.
    Cuda,
    /// The plain build with the TensorRT-RTX plug-in beside it.
    Rtx,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 5] = [
        Self::Cpu,
        Self::OpenVino,
        Self::Cuda,
        Self::TensorRt,
        Self::TensorRtRtx,
    ];

    /// The word used in configurations, manifests and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::OpenVino => "OpenVINO",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
            Self::TensorRtRtx => "TensorRT-RTX",
        }
    }

    /// Whether it runs on an NVIDIA GPU.
    pub fn is_nvidia(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt | Self::TensorRtRtx)
    }

    /// The library built for it. The CPU provider is in every library.
    pub fn family(self) -> Family {
        match self {
            Self::Cpu => Family::Cpu,
            Self::OpenVino => Family::OpenVino,
            Self::Cuda | Self::TensorRt => Family::Cuda,
            Self::TensorRtRtx => Family::Rtx,
        }
    }

    /// ONNX Runtime's name for it.
    pub(crate) fn canonical(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
            Self::TensorRtRtx => "NvTensorRTRTXExecutionProvider",
        }
    }

    /// Our word for ONNX Runtime's name, or that name where we have none.
    pub(crate) fn word(canonical: &str) -> &str {
        Self::ALL
            .iter()
            .find(|p| p.canonical() == canonical)
            .map_or(canonical, |p| p.as_str())
    }
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::OpenVino, Self::Cuda, Self::Rtx];

    /// Whether the family's library holds a provider.
    pub fn offers(self, provider: Provider) -> bool {
        provider == Provider::Cpu || provider.family() == self
    }

    /// What fetches the family's libraries.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Cpu => "`cargo xtask setup` fetches it",
            Self::OpenVino => "`cargo xtask runtime-libs --provider openvino` fetches it",
            Self::Cuda => "`cargo xtask runtime-libs --provider cuda` fetches it",
            Self::Rtx => "`cargo xtask runtime-libs --provider tensorrt-rtx` fetches it",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::OpenVino => "OpenVINO",
            Self::Cuda => "CUDA",
            Self::Rtx => "TensorRT-RTX",
        })
    }
}

/// A word that names no provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider: expected CPU, OpenVINO, CUDA, TensorRT or TensorRT-RTX, found {0:?}")]
pub struct NoProvider(pub String);

impl FromStr for Provider {
    type Err = NoProvider;

    fn from_str(word: &str) -> Result<Self, NoProvider> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == word)
            .ok_or_else(|| NoProvider(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_back_as_the_same_provider_and_no_other_word_is() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().parse(), Ok(provider));
            assert_eq!(Provider::word(provider.canonical()), provider.as_str());
        }
        let words: Vec<&str> = Provider::ALL.iter().map(|p| p.as_str()).collect();
        assert_eq!(words, echocart_core::config::PROVIDERS);
        for word in ["cpu", "OpenVino", "", "TensorRT RTX"] {
            assert_eq!(word.parse::<Provider>(), Err(NoProvider(word.to_owned())));
        }
    }

    #[test]
    fn a_library_offers_its_own_providers_and_the_cpu_s() {
        assert!(Family::OpenVino.offers(Provider::Cpu));
        assert!(Family::OpenVino.offers(Provider::OpenVino));
        assert!(!Family::OpenVino.offers(Provider::Cuda));
        assert!(!Family::Cpu.offers(Provider::OpenVino));
        assert!(Family::Cuda.offers(Provider::TensorRt));
        assert!(!Family::Cuda.offers(Provider::TensorRtRtx));
        assert!(Family::Rtx.offers(Provider::TensorRtRtx));
    }
}
