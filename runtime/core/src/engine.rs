//! What the pipeline asks of an inference engine.
//!
//! Guarantees asked for: one thread owns an engine; calls return only when the result is there;
//! a slot's tokens stay valid until the slot is written again or the generation changes. Not asked
//! for: cancelling a call.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Why an engine could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The runtime library or a graph failed; the message is the library's own.
    #[error("{what} failed: {message}")]
    Failed {
        /// Which call, for example `encoder`.
        what: String,
        /// What the library said.
        message: String,
    },
    /// An input does not have the shape the package declares.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Declared shape in words.
        expected: String,
        /// Shape given.
        found: String,
    },
    /// A slot that holds no tokens was read.
    #[error("token slot {slot} holds no tokens")]
    EmptySlot {
        /// The slot.
        slot: usize,
    },
    /// There is no engine to ask at present; its [`EngineWatch`] tells when there is one again.
    #[error("no engine: {message}")]
    Absent {
        /// Why.
        message: String,
    },
}

/// What is running behind an [`Engine`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineInfo {
    /// Provider, for example `CPU`.
    pub provider: String,
    /// Library name and version, for example `onnxruntime 1.28.0`.
    pub library: String,
    /// The package's variant, for example `fp32`.
    pub variant: String,
    /// Graph nodes each provider got, as the library itself reports them, over all loaded graphs.
    pub nodes: BTreeMap<String, usize>,
    /// Why this is not the provider asked for, or not wholly; nothing when it is.
    pub degraded: Option<String>,
    /// How the variant came to pass the parity gate, in words; absent without a gate.
    pub gate: Option<String>,
    /// How long the graphs took when they were proven here; absent where that was not measured.
    pub timings: Option<Timings>,
    /// What is being made ready to take its place, in words; nothing when nothing is.
    pub coming: Option<String>,
}

/// How long the graphs took on the golden clips, the shortest of each.
///
/// # Units
/// Nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings {
    /// The encoder.
    pub encode_nanos: u64,
    /// Each head graph, by head and graph key (`1`, `2`, `0+1`).
    pub heads_nanos: BTreeMap<(String, String), u64>,
}

/// Whether an engine that comes and goes is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is being loaded and proven; what is being done, in words.
    WarmingUp(String),
    /// It answers.
    Serving(Box<EngineInfo>),
    /// It is not there, and why. It may come back by itself.
    Down(String),
}

/// An engine that comes and goes, as other threads see it.
///
/// # Real-time
/// No call waits for anything slower than a copy.
pub trait EngineWatch: Send + Sync {
    /// Grows with every change of [`EngineWatch::standing`].
    fn number(&self) -> u64;

    /// What it is now.
    fn standing(&self) -> Standing;

    /// A new exam begins: an engine that was off until then may be started again.
    fn begin_exam(&self);
}

/// An encoder, its heads, and a ring of token slots between them.
pub trait Engine: Send {
    /// What is running.
    fn info(&self) -> EngineInfo;

    /// Sees the engine from other threads; none for one that is there as long as it lives.
    fn watch(&self) -> Option<Arc<dyn EngineWatch>> {
        None
    }

    /// Changes when tokens from before are gone: what stands in other slots than the newest encoded
    /// one belongs to another engine.
    fn generation(&self) -> u64 {
        0
    }

    /// Number of token slots.
    fn slots(&self) -> usize;

    /// Encodes one clip into `slot`.
    ///
    /// # Shapes
    /// - `tubelets`: one block per tubelet in time order, each `[tokens_per_tubelet, row]` f32,
    ///   row in (channel, frame in tubelet, y, x) order. Token order is tubelet, row, column.
    ///
    /// # Errors
    /// [`EngineError::Shape`], [`EngineError::Failed`]. The slot then holds no tokens.
    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError>;

    /// Encodes only the tokens `ids` of one clip into `slot`; their positions stay those of the
    /// whole grid.
    ///
    /// # Shapes
    /// - `rows`: `[ids.len(), row]` f32, rows as in [`Engine::encode`].
    /// - `ids`: places in token order, each below the clip's number of tokens.
    ///
    /// # Errors
    /// [`EngineError::Shape`], [`EngineError::Failed`]. The slot then holds no tokens.
    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError>;

    /// Runs head `name` on the concatenated tokens of `slots`, in that order, and appends its raw
    /// output (logits or z-score) to `out` after clearing it.
    ///
    /// # Errors
    /// [`EngineError::EmptySlot`], [`EngineError::Failed`].
    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError>;

    /// Runs multi-view head `name`; the tokens in `slots[i]` take the probe's place `places[i]`.
    /// Appends its raw output to `out` after clearing it.
    ///
    /// # Errors
    /// [`EngineError::EmptySlot`], [`EngineError::Failed`], also for places that the package does
    /// not allow together.
    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError>;

    /// Runs once on whatever there is, so that an idle device stays ready; no slot changes. Gives
    /// false for an engine that needs none.
    ///
    /// # Errors
    /// [`EngineError::Failed`].
    fn keep_warm(&mut self) -> Result<bool, EngineError> {
        Ok(false)
    }

    /// Copies the tokens `[tokens, dim]` of `slot` into `out` after clearing it. For parity, not
    /// for the live path.
    ///
    /// # Errors
    /// [`EngineError::EmptySlot`], [`EngineError::Failed`].
    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError>;
}

/// Writes the methods of [`Engine`] that a wrapper leaves to the engine in its field, all but `info`,
/// `encode` and `encode_kept`: a new one is left to it in every wrapper.
#[macro_export]
macro_rules! engine_of_field {
    ($field:ident) => {
        fn watch(&self) -> Option<std::sync::Arc<dyn $crate::engine::EngineWatch>> {
            self.$field.watch()
        }

        fn generation(&self) -> u64 {
            self.$field.generation()
        }

        fn slots(&self) -> usize {
            self.$field.slots()
        }

        fn head(
            &mut self,
            name: &str,
            slots: &[usize],
            out: &mut Vec<f32>,
        ) -> Result<(), $crate::engine::EngineError> {
            self.$field.head(name, slots, out)
        }

        fn multi_view_head(
            &mut self,
            name: &str,
            places: &[usize],
            slots: &[usize],
            out: &mut Vec<f32>,
        ) -> Result<(), $crate::engine::EngineError> {
            self.$field.multi_view_head(name, places, slots, out)
        }

        fn keep_warm(&mut self) -> Result<bool, $crate::engine::EngineError> {
            self.$field.keep_warm()
        }

        fn tokens(
            &mut self,
            slot: usize,
            out: &mut Vec<f32>,
        ) -> Result<(), $crate::engine::EngineError> {
            self.$field.tokens(slot, out)
        }
    };
}
