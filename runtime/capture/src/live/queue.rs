//! Frames and news between a device's thread and the caller.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use echocart_core::buffer::FrameBuffer;

use crate::{Arrival, Polled};

/// Frames kept for a caller that is late; the oldest goes first.
const MOST_FRAMES: usize = 4;
/// News kept for a caller that never asks.
const MOST_NEWS: usize = 32;

enum Item {
    Frame(Arrival, FrameBuffer),
    News(Polled),
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    frames: usize,
    missed: u64,
    spare: Vec<FrameBuffer>,
    ended: bool,
}

/// A bounded queue in which the newest frames win.
///
/// Buffers go round: after warm-up nothing is allocated.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

impl Queue {
    /// Takes a frame over and leaves another buffer in `pixels`.
    pub(crate) fn frame(&self, arrival: Arrival, pixels: &mut FrameBuffer) {
        let mut state = self.lock();
        if state.frames == MOST_FRAMES {
            let oldest = |item: &Item| matches!(item, Item::Frame(..));
            let at = state.items.iter().position(oldest);
            if let Some(Item::Frame(_, mut buffer)) = at.and_then(|at| state.items.remove(at)) {
                state.frames -= 1;
                state.missed += 1;
                buffer.release();
                state.spare.push(buffer);
            }
        }
        let fresh = state.spare.pop().unwrap_or_default();
        let filled = std::mem::replace(pixels, fresh);
        state.items.push_back(Item::Frame(arrival, filled));
        state.frames += 1;
        self.ready.notify_one();
    }

    /// Passes on that something happened to the connection.
    pub(crate) fn news(&self, news: Polled) {
        let mut state = self.lock();
        if state.items.len() - state.frames < MOST_NEWS {
            state.items.push_back(Item::News(news));
        }
        self.ready.notify_one();
    }

    /// Counts a frame that the device spoiled.
    pub(crate) fn missed(&self) {
        self.lock().missed += 1;
    }

    /// Says that nothing more will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.ready.notify_one();
    }

    /// Takes the oldest item, waiting at most `patience`; what was lent before is given back first.
    pub(crate) fn take(&self, pixels: &mut FrameBuffer, patience: Duration) -> Polled {
        pixels.release();
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            match state.items.pop_front() {
                Some(Item::News(news)) => return news,
                Some(Item::Frame(mut arrival, filled)) => {
                    state.frames -= 1;
                    arrival.missed = std::mem::take(&mut state.missed);
                    let empty = std::mem::replace(pixels, filled);
                    state.spare.push(empty);
                    return Polled::Frame(arrival);
                }
                None if state.ended => return Polled::Ended,
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Polled::Silent;
            }
            let waited = self.ready.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::frame_meta;
    use echocart_core::frame::PixelFormat;

    fn arrival(nanos: i64) -> Arrival {
        Arrival::exact(frame_meta((1, 1), PixelFormat::Gray8, nanos))
    }

    #[test]
    fn the_oldest_frame_gives_way_and_is_counted_but_news_stay_in_place() {
        let queue = Queue::default();
        let lost = Polled::Lost {
            why: "unplugged".to_owned(),
        };
        let mut pixels = FrameBuffer::from(vec![0]);
        queue.frame(arrival(0), &mut pixels);
        queue.news(lost.clone());
        for nanos in 1..=5 {
            *pixels.refill() = vec![nanos as u8];
            queue.frame(arrival(nanos), &mut pixels);
        }
        let mut out = FrameBuffer::default();
        assert_eq!(queue.take(&mut out, Duration::ZERO), lost);
        let expected = Arrival {
            missed: 2,
            ..arrival(2)
        };
        assert_eq!(
            queue.take(&mut out, Duration::ZERO),
            Polled::Frame(expected)
        );
        assert_eq!(*out, [2]);
        queue.end();
        for nanos in 3..=5 {
            let taken = queue.take(&mut out, Duration::ZERO);
            assert_eq!(taken, Polled::Frame(arrival(nanos)));
        }
        assert_eq!(queue.take(&mut out, Duration::ZERO), Polled::Ended);
    }

    #[test]
    fn an_empty_queue_is_silent() {
        let taken = Queue::default().take(&mut FrameBuffer::default(), Duration::ZERO);
        assert_eq!(taken, Polled::Silent);
    }
}
