//! The writer's memory as bytes of this process: the only `unsafe` of this crate.

use std::fs::File;

use memmap2::{MmapOptions, MmapRaw};

use super::message::{Hello, ShmError, wrong};

/// What `fstatfs` says of a memory file of ordinary pages.
const TMPFS_MAGIC: i128 = 0x0102_1994;

/// All slots, mapped to be read.
pub(super) struct Mapping {
    memory: MmapRaw,
    slot_bytes: usize,
}

impl Mapping {
    /// Maps `memory`, which is sealed against shrinking and holds all slots of `hello`.
    ///
    /// # Errors
    /// What keeps it from being mapped: huge pages too, since one of them may be missing when it is
    /// read, and that would end the process.
    pub(super) fn new(memory: &File, hello: &Hello) -> Result<Self, ShmError> {
        let kind = rustix::fs::fstatfs(memory).map(|status| i128::from(status.f_type));
        match kind {
            Ok(TMPFS_MAGIC) => {}
            Ok(found) => {
                return wrong(
                    "memory",
                    "ordinary pages",
                    format!("file system {found:#x}"),
                );
            }
            Err(error) => return wrong("memory", "ordinary pages", error),
        }
        let (Ok(bytes), Ok(slot_bytes)) = (
            usize::try_from(hello.bytes()),
            usize::try_from(hello.slot_bytes),
        ) else {
            return wrong("memory", "what can be mapped", hello.bytes());
        };
        match MmapOptions::new().len(bytes).map_raw_read_only(memory) {
            Ok(memory) => Ok(Self { memory, slot_bytes }),
            Err(error) => wrong("memory", "what can be mapped", error),
        }
    }

    /// The first `bytes` bytes of a slot that is this process's now; none where they are not all
    /// in it.
    #[expect(unsafe_code, reason = "memory that another process has too")]
    pub(super) fn slot(&self, slot: u32, bytes: usize) -> &[u8] {
        let at = self.slot_bytes.saturating_mul(slot as usize);
        let end = at.saturating_add(bytes);
        if bytes > self.slot_bytes || end > self.memory.len() {
            return &[];
        }
        // SAFETY: the bytes lie in the mapping, which lives as long as `self`, and behind each of
        // them is a page, since the file cannot shrink. Nobody writes them while the reference
        // lives: a writer of version 2 leaves a slot alone until it has it back, and a loan holds
        // it until then. No check can hold a writer to that: the seal that could forbids all
        // writing. One that breaks it changes pixels under their readers, which the language does
        // not allow for; as those take bytes as grey levels and colours only, never as lengths or
        // places that nothing checks, it gets wrong pixels for it.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(at), bytes) }
    }
}
