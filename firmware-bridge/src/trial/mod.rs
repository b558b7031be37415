//! A session over an engine that needs no package and no ONNX Runtime, for tests, the fuzzer and the
//! sanitizers. Not part of the delivered library: it takes the feature `trial`.

pub mod calls;

use crate::abi::*;
use crate::boundary;
use crate::callback::Log;
use crate::frames::FramePort;
use crate::request::Standing;
use crate::results::ResultPort;
use crate::session::{Parts, SessionState, assemble};
use crate::shims::{echocart_frame_port_t, echocart_result_port_t, echocart_session_t};
use echocart_core::clock::Pace;
use echocart_core::config::CartConfig;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::signature::Signed;
use std::sync::Arc;

/// An engine that has one answer.
struct Fixed;

impl Engine for Fixed {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: "FIXED".to_owned(),
            library: "none".to_owned(),
            ..EngineInfo::default()
        }
    }

    fn slots(&self) -> usize {
        4
    }

    fn encode(&mut self, _: &[Arc<Vec<f32>>], _: usize) -> Result<(), EngineError> {
        Ok(())
    }

    fn encode_kept(&mut self, _: &[f32], _: &[usize], _: usize) -> Result<(), EngineError> {
        Ok(())
    }

    fn multi_view_head(
        &mut self,
        _: &str,
        _: &[usize],
        _: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        *out = vec![0.0];
        Ok(())
    }

    fn head(&mut self, _: &str, _: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        *out = vec![0.5, 2.5];
        Ok(())
    }

    fn tokens(&mut self, _: usize, _: &mut Vec<f32>) -> Result<(), EngineError> {
        Ok(())
    }
}

const MANIFEST: &str = r#"
    format = 2
    min_version = "0.1.0"
    id = "fixed"
    card = { title = "Fixed", text = "", trained = "TRAINED" }
    checkpoint = { source = "none", sha256 = "", key = "target_encoder" }
    sampling = { rate_hz = 8.0, hop_slots = 2, max_skew_millis = 60.0 }
    view = { threshold = 0.5 }
    limits = { population = "none", min_fps = 8.0, max_fps = 60.0 }
    variants = {}
    golden = {}
    calibration = {}
    files = {}
    [encoder]
    family = "vjepa2"
    dim = 8
    depth = 1
    heads = 1
    mlp_ratio = 4.0
    frames = 4
    height_px = 16
    width_px = 16
    tubelet_frames = 2
    patch_px = 16
    channels = 3
    [preprocess]
    steps = [{ op = "squash", width_px = 16, height_px = 16 }]
    mean = [0.5, 0.5, 0.5]
    std = [0.5, 0.5, 0.5]
    orientation = "any"
    mask = { kind = "none" }
    [heads.view]
    segments = 1
    probe = "attentive"
    heads = 1
    depth = 1
    classifier_index = 0
    classifier_choice = "only"
    output = { kind = "classification", labels = ["A2C", "A4C"] }
"#;

/// A frame of 32x32 GRAY8 at `pixels`.
#[cfg(test)]
pub(crate) fn frame(pixels: *const u8, capture_nanos: i64) -> echocart_frame_t {
    echocart_frame_t {
        struct_size: size_of::<echocart_frame_t>() as u32,
        format: ECHOCART_PIXEL_GRAY8,
        width_px: 32,
        height_px: 32,
        row_stride_bytes: 32,
        pass: 0,
        pixels,
        pixel_bytes: 1024,
        capture_nanos,
        host_frame_id: 0,
        sequence: 0,
        exam_token: [0; ECHOCART_EXAM_TOKEN_BYTES],
        flags: 0,
        memory: 0,
        ecg_millivolts: 0.0,
        depth_mm: 0.0,
        chroma_offset_bytes: 0,
        memory_handle: 0,
    }
}

/// A session that was made and not started, on a package that was `trained` so.
pub(crate) fn parts(
    trained: &str,
    pace: Pace,
    allow_demonstration: bool,
) -> (SessionState, FramePort, ResultPort) {
    let manifest = toml::from_str(&MANIFEST.replace("TRAINED", trained));
    let made = assemble(Parts {
        manifest: manifest.unwrap_or_else(|e| panic!("{e}")),
        package: "fixed@0".to_owned(),
        signed: Signed::No,
        config: CartConfig::demo().unwrap_or_else(|e| panic!("{}", e.message)),
        engine: Box::new(Fixed),
        pace,
        allow_demonstration,
        standing: Standing {
            nice: None,
            cpu_set: [0; ECHOCART_CPU_SET_WORDS],
        },
        reserve_frame_bytes: 0,
        log: Log::new(None, std::ptr::null_mut(), 0),
        warning: None,
    });
    made.unwrap_or_else(|fault| panic!("{}", fault.detail))
}

/// The three handles of a session, as `echocart_session_create` gives them.
pub type Handles = (
    *mut echocart_session_t,
    *mut echocart_frame_port_t,
    *mut echocart_result_port_t,
);

/// Makes a session on an untrained package, and does not start it.
pub fn create(pace: Pace) -> Handles {
    let (session, frames, results) = parts("untrained", pace, true);
    (
        boundary::give(session),
        boundary::give(frames),
        boundary::give(results),
    )
}

/// [`create`] for C programs: `pace` is one of `ECHOCART_PACE_*`.
///
/// # Safety
/// The outputs are writable for a pointer each.
#[expect(unsafe_code, reason = "an exported name, and pointers of the caller")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn echocart_trial_create(
    pace: u32,
    out_session: *mut *mut echocart_session_t,
    out_frame_port: *mut *mut echocart_frame_port_t,
    out_result_port: *mut *mut echocart_result_port_t,
) -> u32 {
    boundary::enter(|_| {
        // SAFETY: the caller's promise.
        let (out_session, out_frame_port, out_result_port) = unsafe {
            (
                boundary::Out::new(out_session, "out_session")?,
                boundary::Out::new(out_frame_port, "out_frame_port")?,
                boundary::Out::new(out_result_port, "out_result_port")?,
            )
        };
        let pace = match pace {
            ECHOCART_PACE_REAL => Pace::Real,
            _ => Pace::Max,
        };
        let (session, frames, results) = create(pace);
        out_session.set(session);
        out_frame_port.set(frames);
        out_result_port.set(results);
        Ok(())
    })
}
