//! The exam's token on its way from the page to the source's frames.

use echocart_core::frame::{ExamToken, FrameMeta};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const OURS: [u8; 8] = *b"page\0\0\0\0";

/// Says which exam frames belong to, where their source does not say it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ExamTicket(Arc<AtomicU64>);

impl ExamTicket {
    /// Puts the exam of now into the meta data of a frame without one.
    ///
    /// # Real-time
    /// One atomic read.
    pub fn stamp(&self, meta: &mut FrameMeta) {
        if meta.host.exam == ExamToken::default() {
            meta.host.exam = self.token();
        }
    }

    /// The token of now: nothing before the first new patient.
    pub(super) fn token(&self) -> ExamToken {
        let number = self.0.load(Ordering::Relaxed);
        if number == 0 {
            return ExamToken::default();
        }
        let mut token = [0; 16];
        let (name, count) = token.split_at_mut(OURS.len());
        name.copy_from_slice(&OURS);
        count.copy_from_slice(&number.to_le_bytes());
        ExamToken(token)
    }

    pub(super) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// True for a token that no source made up.
    pub(super) fn is_ours(token: &ExamToken) -> bool {
        *token == ExamToken::default() || token.0.starts_with(&OURS)
    }
}
