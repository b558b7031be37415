//! Panics of foreign decoders, turned into errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::error::one_line;

static HOOK: Once = Once::new();

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a foreign decoder; a panic in it becomes an error with the panic's message.
///
/// The first call wraps the process's panic hook: the wrapper is silent for a panic inside `body`
/// on the same thread and passes every other panic on, so that damaged files leave one error line
/// and no panic report on the error stream.
pub(super) fn without_panic<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    HOOK.call_once(|| {
        let outer = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.try_with(Cell::get).unwrap_or(false) {
                outer(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    // What the closure borrows is a frame's bytes and a header, both only read.
    let outcome = catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(before);
    outcome.unwrap_or_else(|panic| Err(format!("a decoder that gave up ({})", message(&panic))))
}

fn message(panic: &Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or(panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    one_line(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        let index = [1, 2, 3].len();
        let error = without_panic(|| Ok([0_u8; 3].get(index).copied().unwrap()));
        assert!(error.unwrap_err().contains("called `Option::unwrap()`"));
        assert_eq!(without_panic(|| Ok(1)), Ok(1));
        assert!(!GUARDED.get());
    }
}
