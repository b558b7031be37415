//! The C ABI of echocart. The contract is `README.md`; the header is `include/echocart.h`.
//!
//! Every `extern "C"` function converts, calls safe code inside one boundary and converts back.

#[cfg(all(panic = "abort", not(test)))]
compile_error!("the bridge turns panics into ECHOCART_PANIC; build it with panic = \"unwind\"");

pub mod abi;
mod ahead;
mod boundary;
mod callback;
mod clock;
pub mod codes;
mod copy;
mod fault;
mod frames;
mod here;
mod intake;
mod layout;
mod load;
mod request;
mod results;
mod session;
pub mod shims;
mod sync;
mod system;
#[cfg(any(test, feature = "trial"))]
pub mod trial;
mod wrong;

pub use codes::Code;
