//! A pickle reader that can build data and nothing else.
//!
//! It knows the opcodes of protocols 2 to 5 that `torch.save` writes and a fixed list of globals;
//! for a fitted scaler another list and two opcodes more.
//! Values live in one arena and refer to each other by index: depth costs no stack, a cycle costs
//! no memory, and nothing in the file is ever called.

mod machine;
pub(crate) mod objects;
mod torch;
mod value;

pub use machine::{parse, parse_scaler};
pub use value::{Element, Node, NodeId, Object, Pickle, Storage, Tensor};

/// Why a pickle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The bytes end inside an instruction, or before STOP.
    #[error("pickle ends early: expected more bytes, found the end at byte {at}")]
    Truncated {
        /// Offset of the instruction.
        at: usize,
    },
    /// An instruction this reader does not have.
    #[error(
        "pickle instruction: expected one that such a file needs, found {code:#04x} at byte {at}"
    )]
    Opcode {
        /// The instruction.
        code: u8,
        /// Its offset.
        at: usize,
    },
    /// A name outside the allow list. It was not looked up.
    #[error("pickle global: expected one that such a file needs, found {name}")]
    Global {
        /// `module.name`.
        name: String,
    },
    /// An instruction whose operands are not what it needs.
    #[error("pickle at byte {at}: expected {expected}, found {found}")]
    Operand {
        /// Offset of the instruction.
        at: usize,
        /// What it needs.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// More values than any checkpoint has.
    #[error("pickle is too large: expected at most {most} values, found more at byte {at}")]
    TooLarge {
        /// The limit.
        most: usize,
        /// Where it was passed.
        at: usize,
    },
}
