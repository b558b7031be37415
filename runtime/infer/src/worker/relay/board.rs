//! What serves now, as other threads see it.

use echocart_core::engine::{Engine, EngineWatch, Standing};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What serves now, and what is said beside it.
pub(super) struct Board {
    current: Mutex<Current>,
    /// Changes of the engine and of what is said.
    own: AtomicU64,
}

pub(super) struct Current {
    pub watch: Option<Arc<dyn EngineWatch>>,
    /// That of the engine before, which takes back over when this one fails.
    pub before: Option<Arc<dyn EngineWatch>>,
    pub note: Option<String>,
    pub coming: Option<String>,
}

impl Board {
    pub fn new(serving: &dyn Engine, note: String) -> Self {
        Self {
            current: Mutex::new(Current {
                watch: serving.watch(),
                before: None,
                note: Some(note),
                coming: None,
            }),
            own: AtomicU64::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn edit(&self, how: impl FnOnce(&mut Current)) {
        let mut current = self.lock();
        how(&mut current);
        self.own.fetch_add(1, Ordering::Relaxed);
    }

    pub fn say(&self, what: Option<String>) {
        self.edit(|current| current.coming = what);
    }

    /// Nothing is coming any more, and why, if that is not what was asked for.
    pub fn note(&self, note: Option<String>) {
        self.edit(|current| (current.note, current.coming) = (note, None));
    }
}

impl EngineWatch for Board {
    fn number(&self) -> u64 {
        let current = self.lock();
        let theirs = current.watch.as_ref().map_or(0, |watch| watch.number());
        // A worker that is started again every millisecond for a month stays below 2^32.
        self.own.load(Ordering::Relaxed) << 32 | theirs
    }

    fn standing(&self) -> Standing {
        let current = self.lock();
        let of = |watch: &Option<Arc<dyn EngineWatch>>| watch.as_ref().map(|w| w.standing());
        let serves = |standing: &Standing| matches!(standing, Standing::Serving(_));
        let before = || of(&current.before).filter(serves);
        let standing = of(&current.watch);
        let standing = match standing {
            Some(now) if !serves(&now) => before().or(Some(now)),
            now => now,
        };
        match standing {
            Some(Standing::Serving(mut info)) => {
                let words: Vec<String> = [info.degraded.take(), current.note.clone()]
                    .into_iter()
                    .flatten()
                    .collect();
                info.degraded = (!words.is_empty()).then(|| words.join("; "));
                info.coming.clone_from(&current.coming);
                Standing::Serving(info)
            }
            Some(other) => other,
            None => Standing::Down("there is no engine".to_owned()),
        }
    }

    fn begin_exam(&self) {
        let current = self.lock();
        for watch in current.watch.iter().chain(&current.before) {
            watch.begin_exam();
        }
    }
}
