//! `echocart-worker`: the process that an engine of isolation WORKER runs in.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "nothing is open yet")]
fn main() -> ExitCode {
    // SAFETY: this is the first thing that the process does, and nothing of it owns a descriptor.
    unsafe { echocart_infer::leave_the_host_behind() };
    match echocart_infer::worker::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echocart-worker: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!(
        "echocart-worker: expected Linux, found {}",
        std::env::consts::OS
    );
    ExitCode::from(2)
}
