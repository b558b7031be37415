//! What each provider is told.

use crate::provider::Provider;
use echocart_core::manifest::Precision;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};
use std::collections::BTreeMap;

/// Number format that a provider computes in where the graph says floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// As the variant's precision asks: 32-bit for `fp32`, bfloat16 for the quantised ones where
    /// the CPU has it.
    #[default]
    AsPrecision,
    /// 32-bit.
    F32,
    /// bfloat16. Only OpenVINO has the choice.
    Bf16,
}

/// What happens to nodes that the provider does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// The graph does not open.
    #[default]
    Refuse,
    /// The CPU provider runs them, and [`crate::OrtEngine`] says so.
    Tell,
}

/// How an engine is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Which provider runs the graphs.
    pub provider: Provider,
    /// Threads of one graph run.
    pub threads: usize,
    /// CPUs that the engine's threads may use; none: as they are.
    pub cpus: Vec<usize>,
    /// Most bytes of GPU memory that what is opened with these options may take together. CUDA keeps
    /// to it; CPU and OpenVINO, which runs on the CPU here, take none; the others cannot.
    pub gpu_memory: Option<u64>,
    /// Builds graphs for exactly so many tokens of a clip; others are refused then.
    pub tokens: Option<usize>,
    /// What it computes in.
    pub arithmetic: Arithmetic,
    /// What happens to nodes it does not take.
    pub fallback: Fallback,
    /// Opens a variant on a provider it is not made for. Only for measuring.
    pub any_variant: bool,
    /// Holds one graph at a time, the encoder or a head, and no reserve of freed memory: slower, for
    /// graphs that run once.
    pub small_memory: bool,
    /// Provider options that replace or join ours, by ONNX Runtime's names. Only for measuring.
    pub extra: BTreeMap<String, String>,
}

impl EngineOptions {
    /// The options of live use: the whole graph on `provider`, or an error.
    pub fn new(provider: Provider, threads: usize) -> Self {
        Self {
            provider,
            threads,
            cpus: Vec::new(),
            gpu_memory: None,
            tokens: None,
            arithmetic: Arithmetic::AsPrecision,
            fallback: Fallback::Refuse,
            any_variant: false,
            small_memory: false,
            extra: BTreeMap::new(),
        }
    }

    /// The arithmetic in words of OpenVINO, or why it cannot be had.
    fn hint(&self, precision: Precision) -> Result<&'static str, String> {
        match (self.arithmetic, precision) {
            (Arithmetic::F32, _) | (Arithmetic::AsPrecision, Precision::Fp32) => Ok("f32"),
            (Arithmetic::AsPrecision, _) if !has_bf16() => Ok("f32"),
            (Arithmetic::Bf16, _) if !has_bf16() => {
                Err("arithmetic: expected a CPU with bfloat16, found one without".to_owned())
            }
            _ => Ok("bf16"),
        }
    }

    /// Options by ONNX Runtime's names.
    pub(crate) fn pairs(&self, precision: Precision) -> Result<BTreeMap<String, String>, String> {
        let mut pairs = BTreeMap::new();
        let mut set = |key: &str, value: String| pairs.insert(key.to_owned(), value);
        match self.provider {
            Provider::Cpu => {}
            Provider::OpenVino => {
                let hint = self.hint(precision)?;
                let threads = self.threads;
                set("device_type", "CPU".to_owned());
                set(
                    "load_config",
                    format!(
                        "{{\"CPU\":{{\"INFERENCE_PRECISION_HINT\":\"{hint}\",\
                         \"INFERENCE_NUM_THREADS\":\"{threads}\",\"NUM_STREAMS\":\"1\"}}}}"
                    ),
                );
            }
            Provider::Cuda => {
                set("device_id", "0".to_owned());
                set("use_tf32", "0".to_owned());
                set("arena_extend_strategy", "kSameAsRequested".to_owned());
                if let Some(bytes) = self.gpu_memory {
                    set("gpu_mem_limit", bytes.to_string());
                }
            }
            Provider::TensorRt => {
                set("device_id", "0".to_owned());
                let low = |on: bool| if on { "1" } else { "0" }.to_owned();
                set("trt_fp16_enable", low(precision != Precision::Fp32));
                set("trt_int8_enable", low(precision == Precision::Int8));
                set("trt_engine_cache_enable", "0".to_owned());
            }
            // The graph's own number formats decide. No file of the plug-in's own making is read.
            Provider::TensorRtRtx => {
                set("enable_cuda_graph", "0".to_owned());
                set("nv_runtime_cache_path", String::new());
                set("nv_persistent_context_memory", "1".to_owned());
            }
        }
        if self.arithmetic == Arithmetic::Bf16 && self.provider != Provider::OpenVino {
            let provider = self.provider;
            return Err(format!(
                "arithmetic: expected bfloat16 on OpenVINO only, found {provider}"
            ));
        }
        pairs.extend(self.extra.clone());
        Ok(pairs)
    }

    /// What `ort` registers; nothing for the CPU provider, which is always there, and for
    /// TensorRT-RTX, whose devices are chosen instead.
    pub(crate) fn dispatch(
        &self,
        precision: Precision,
    ) -> Result<Option<ExecutionProviderDispatch>, String> {
        let pairs = self.pairs(precision)?;
        let built = match self.provider {
            Provider::Cpu if self.small_memory => {
                ep::CPU::default().with_arena_allocator(false).build()
            }
            Provider::Cpu | Provider::TensorRtRtx => return Ok(None),
            Provider::OpenVino => given(ep::OpenVINO::default(), pairs).build(),
            Provider::Cuda => given(ep::CUDA::default(), pairs).build(),
            Provider::TensorRt => given(ep::TensorRT::default(), pairs).build(),
        };
        Ok(Some(built.error_on_failure()))
    }
}

fn given<P: ArbitrarilyConfigurableExecutionProvider>(
    provider: P,
    pairs: BTreeMap<String, String>,
) -> P {
    pairs.into_iter().fold(provider, |provider, (key, value)| {
        provider.with_arbitrary_config(key, value)
    })
}

/// Whether this CPU multiplies bfloat16.
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether this CPU multiplies 8-bit integers with VNNI.
pub fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512vnni")
        || std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuda_is_told_its_limit_and_nobody_else() {
        let limit_of = |provider, gpu_memory| {
            let mut options = EngineOptions::new(provider, 1);
            options.gpu_memory = gpu_memory;
            let pairs = options.pairs(Precision::Fp32).unwrap();
            pairs.get("gpu_mem_limit").cloned()
        };
        let given = Some(5 << 30);
        assert_eq!(
            limit_of(Provider::Cuda, given).as_deref(),
            Some("5368709120")
        );
        assert_eq!(limit_of(Provider::Cuda, None), None);
        for provider in [Provider::Cpu, Provider::OpenVino] {
            assert_eq!(limit_of(provider, given), None);
        }
    }
}
