//! Where this thread is: inside a call of the caller's, inside a callback of ours, or neither.

use crate::codes::Code;
use crate::fault::Fault;
use std::cell::Cell;

/// Addresses of cache lines.
pub(crate) type Lines = [usize; 10];

/// All about one thread, side by side: a call finds it with one look.
pub(crate) struct Here {
    call: Cell<bool>,
    callback: Cell<bool>,
    leases: Cell<Option<Lines>>,
}

thread_local! {
    static HERE: Here = const {
        Here {
            call: Cell::new(false),
            callback: Cell::new(false),
            leases: Cell::new(None),
        }
    };
}

impl Here {
    /// Refuses a call that comes from inside a callback.
    #[inline(always)]
    pub fn refuse_in_callback(&self) -> Result<(), Fault> {
        if self.callback.get() {
            return Err(Code::InCallback.into());
        }
        Ok(())
    }

    /// What the next lease on this thread reads first; nothing before there was one.
    #[inline(always)]
    pub fn leases(&self) -> Option<Lines> {
        self.leases.get()
    }
}

/// Says what leases on this thread read first.
pub(crate) fn lease_from(lines: Lines) {
    HERE.with(|here| here.leases.set(Some(lines)));
}

/// Runs `call` as a call of the caller's.
#[inline(always)]
pub(crate) fn inside<T>(call: impl FnOnce(&Here) -> T) -> T {
    HERE.with(|here| {
        let was = here.call.replace(true);
        let outcome = call(here);
        here.call.set(was);
        outcome
    })
}

/// True while this thread is inside a call.
pub(crate) fn is_inside() -> bool {
    HERE.with(|here| here.call.get())
}

/// Runs `call` as a callback of ours.
pub(crate) fn calling(call: impl FnOnce()) {
    HERE.with(|here| {
        let was = here.callback.replace(true);
        call();
        here.callback.set(was);
    });
}
