//! What a provider needs from the system: NVIDIA's libraries.

use crate::provider::Provider;

const CUDA: [&str; 6] = [
    "libcuda.so.1",
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
    "libcudnn.so.9",
];
const RTX: [&str; 2] = ["libcuda.so.1", "libnvidia-ml.so.1"];
const TENSOR_RT: [&str; 2] = ["libnvinfer.so.10", "libnvonnxparser.so.10"];

/// Says which of the libraries that a provider needs from the system do not load. They come with
/// NVIDIA's driver and packages and cannot be pinned.
pub(crate) fn needed(provider: Provider) -> Result<(), String> {
    let names: Vec<&str> = match provider {
        Provider::Cpu | Provider::OpenVino => return Ok(()),
        Provider::Cuda => CUDA.to_vec(),
        Provider::TensorRt => [CUDA.as_slice(), &TENSOR_RT].concat(),
        Provider::TensorRtRtx => RTX.to_vec(),
    };
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| ort::util::preload_dylib(*name).is_err())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{provider} needs libraries of the system that do not load: {}; {}",
        missing.join(", "),
        remedy(provider, &missing)
    ))
}

fn remedy(provider: Provider, missing: &[&str]) -> &'static str {
    if provider == Provider::TensorRtRtx {
        "install the NVIDIA driver (580 or newer); everything else comes with the plug-in"
    } else if missing.contains(&"libcuda.so.1") {
        "install the NVIDIA driver (580 or newer), then CUDA 13, cuDNN 9 and, for TensorRT, TensorRT 10"
    } else if provider == Provider::TensorRt && missing.iter().all(|m| TENSOR_RT.contains(m)) {
        "install NVIDIA TensorRT 10 for CUDA 13; it comes with NVIDIA's system packages"
    } else {
        "install CUDA 13 and cuDNN 9 of NVIDIA's packages where the loader finds them"
    }
}

/// Whether an NVIDIA GPU's device file is here.
pub fn has_nvidia_gpu() -> bool {
    std::path::Path::new("/dev/nvidia0").exists()
}

/// Ends this process when the thread that started it ends.
#[cfg(target_os = "linux")]
pub fn end_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Lets others go before this thread and those that it starts from now on, if the system lets it:
/// they are ordinary threads of this nice value, also where a real-time thread started the process.
/// Nice values that are lower than before need a privilege.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no call for the scheduling policy")]
pub fn step_back(nice: i32) {
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live for the call; 0 is the calling thread.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary) };
    let _ = rustix::process::setpriority_process(None, nice);
}

/// Drops what a worker has of the thread that started it: blocked signals, and every descriptor but
/// the standard ones, which a host had open without closing it for its children. On a Linux before
/// 5.9 those stay open.
///
/// # Safety
/// Nothing of this process may own such a descriptor.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "closes what others opened; rustix has no signal mask"
)]
pub unsafe fn leave_the_host_behind() {
    // SAFETY: by the caller nobody owns what is closed; the set is made before it is read.
    unsafe {
        libc::close_range(3, u32::MAX, 0);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_about_what_is_missing() {
        let text = remedy(Provider::TensorRt, &["libnvinfer.so.10"]);
        assert!(text.contains("TensorRT 10 for CUDA 13"), "{text}");
        assert!(remedy(Provider::TensorRt, &["libcuda.so.1"]).contains("driver"));
        assert!(remedy(Provider::Cuda, &["libcudnn.so.9"]).contains("cuDNN 9"));
        assert!(remedy(Provider::TensorRtRtx, &["libnvidia-ml.so.1"]).contains("driver"));
    }
}
