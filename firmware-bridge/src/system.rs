//! What the operating system says and is told about this process and its threads.
#![expect(unsafe_code, reason = "system calls for priority and CPU set")]

use crate::abi::ECHOCART_CPU_SET_WORDS;
use crate::codes::Code;
use crate::fault::Fault;
use crate::request::Standing;
use std::fs;
use std::path::{Path, PathBuf};

/// Gives this thread, and with it every thread it will make, its standing. The text says what was
/// refused but can be done without.
#[cfg(target_os = "linux")]
pub(crate) fn stand_back(standing: &Standing) -> Result<Option<String>, Fault> {
    let mut warning = None;
    if let Some(nice) = standing.nice {
        // A host may call from a real-time thread, whose policy every new thread would have.
        let ordinary = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameters live for the call; 0 is the calling thread.
        let refused =
            unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary) };
        if refused != 0 {
            let error = std::io::Error::last_os_error();
            warning = Some(format!(
                "scheduling: the ordinary policy was refused: {error}"
            ));
        }
        // SAFETY: takes numbers only; 0 is the calling thread.
        let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } != 0;
        if refused {
            let error = std::io::Error::last_os_error();
            warning = Some(format!("priority: nice {nice} was refused: {error}"));
        }
    }
    if standing.cpu_set != [0; ECHOCART_CPU_SET_WORDS] {
        // SAFETY: all zero is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        for cpu in 0..ECHOCART_CPU_SET_WORDS * 64 {
            let word = standing.cpu_set.get(cpu / 64).copied().unwrap_or(0);
            if word >> (cpu % 64) & 1 == 1 {
                // SAFETY: 256 CPUs fit into the set's 1024.
                unsafe { libc::CPU_SET(cpu, &mut set) };
            }
        }
        // SAFETY: 0 is the calling thread, and the set is as long as said.
        let refused = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } != 0;
        if refused {
            return Err(Fault::new(
                Code::CpuSetRefused,
                format!(
                    "CPU set: expected CPUs of this machine, found {:x?}: {}",
                    standing.cpu_set,
                    std::io::Error::last_os_error()
                ),
            ));
        }
    }
    Ok(warning)
}

/// Keeps signals away from this thread, and from every thread it will make: a host's handlers then run
/// on the host's threads. Those that tell of a fault in the thread itself come through.
#[cfg(target_os = "linux")]
pub(crate) fn block_signals() {
    const OF_THE_THREAD: [i32; 8] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGSYS,
        libc::SIGPROF,
    ];
    // SAFETY: the set is written by `sigfillset` before it is read, and lives for every call.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in OF_THE_THREAD {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Nothing is known of signals elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn block_signals() {}

/// Only Linux has both in this version.
#[cfg(not(target_os = "linux"))]
pub(crate) fn stand_back(standing: &Standing) -> Result<Option<String>, Fault> {
    if standing.cpu_set != [0; ECHOCART_CPU_SET_WORDS] {
        return Err(Fault::new(
            Code::CpuSetRefused,
            "CPU set: expected none on this system, found one",
        ));
    }
    let asked = standing.nice.is_some();
    Ok(asked.then(|| "priority: not lowered on this system".to_owned()))
}

/// The folder of the file that this code was loaded from: the library, or the program it is linked
/// into.
pub(crate) fn beside_this_library() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let here = beside_this_library as fn() -> Vec<PathBuf> as usize;
    let file = mapped_at(&maps, here);
    let folder = file.and_then(|file| file.parent().map(Path::to_owned));
    folder.into_iter().collect()
}

/// The file mapped at an address.
fn mapped_at(maps: &str, address: usize) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        let inside = (bound(from)?..bound(to)?).contains(&address);
        let path = line.get(line.find('/')?..)?;
        inside.then(|| PathBuf::from(path.trim_end_matches(" (deleted)")))
    })
}

/// Resident bytes of the process, 0 where nobody tells.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Refuses a process that has an ONNX Runtime other than the one at `ours`: two in one process share
/// symbols and threads.
pub(crate) fn refuse_other_runtime(ours: &Path) -> Result<(), Fault> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    match other_runtime(&maps, ours) {
        None => Ok(()),
        Some(found) => Err(Fault::new(
            Code::LibraryConflict,
            format!(
                "ONNX Runtime in this process: expected none or {}, found version {} already \
                 mapped: {}",
                ours.display(),
                version(&found).unwrap_or_else(|| "unknown".to_owned()),
                found.display()
            ),
        )),
    }
}

/// The first mapped file that holds another ONNX Runtime.
fn other_runtime(maps: &str, ours: &Path) -> Option<PathBuf> {
    let ours = fs::canonicalize(ours).unwrap_or_else(|_| ours.to_owned());
    maps.lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .map(|path| Path::new(path.trim_end_matches(" (deleted)")))
        .find(|path| is_runtime(path) && *path != ours && !is_same(path, &ours))
        .map(Path::to_owned)
}

fn is_runtime(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let library = name.starts_with("libonnxruntime") && name.contains(".so");
    let python = name.starts_with("onnxruntime_pybind11_state");
    python || library && !name.starts_with("libonnxruntime_providers")
}

#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &Path| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    file(one).is_some_and(|f| Some(f) == file(other))
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}

/// The version an ONNX Runtime library gives its symbols, else the one in its name.
fn version(path: &Path) -> Option<String> {
    const MARK: &[u8] = b"VERS_";
    let bytes = fs::read(path).unwrap_or_default();
    let marked = bytes.windows(MARK.len()).enumerate().find_map(|(at, w)| {
        let rest = bytes.get(at + MARK.len()..).filter(|_| w == MARK)?;
        digits(rest)
    });
    let name = path.file_name()?.to_string_lossy().into_owned();
    marked.or_else(|| digits(name.split_once(".so.")?.1.as_bytes()))
}

fn digits(text: &[u8]) -> Option<String> {
    let is_part = |b: &&u8| b.is_ascii_digit() || **b == b'.';
    let found: String = text
        .iter()
        .take_while(is_part)
        .map(|b| *b as char)
        .collect();
    (found.starts_with(|c: char| c.is_ascii_digit()) && found.contains('.')).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_of_another_policy_becomes_an_ordinary_one_at_the_lowest_priority() {
        let standing = Standing {
            nice: Some(19),
            cpu_set: [0; ECHOCART_CPU_SET_WORDS],
        };
        let thread = std::thread::spawn(move || {
            let none = libc::sched_param { sched_priority: 0 };
            // SAFETY: numbers, parameters that live for the call, and 0 for this thread.
            unsafe {
                assert_eq!(
                    libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none),
                    0
                );
                assert_eq!(stand_back(&standing).unwrap(), None);
                let nice = libc::getpriority(libc::PRIO_PROCESS, 0);
                (libc::sched_getscheduler(0), nice)
            }
        });
        assert_eq!(thread.join().unwrap(), (libc::SCHED_OTHER, 19));
    }

    #[test]
    fn an_address_lies_in_the_file_that_is_mapped_there() {
        let maps = "1000-2000 r--p 00000000 08:01 7 /opt/a b/libechocart.so.0.1.0\n\
                    2000-3000 rw-p 00000000 00:00 0\n";
        let expected = Some(PathBuf::from("/opt/a b/libechocart.so.0.1.0"));
        assert_eq!(mapped_at(maps, 0x1fff), expected);
        assert_eq!(mapped_at(maps, 0x2000), None);
        let own = std::env::current_exe().unwrap();
        let folder = fs::canonicalize(own.parent().unwrap()).unwrap();
        assert_eq!(beside_this_library(), [folder]);
    }

    #[test]
    fn another_runtime_is_found_among_the_mapped_files_and_ours_is_not() {
        let ours = Path::new("/opt/ours/libonnxruntime.so.1.28.0");
        let line =
            |path: &str| format!("7f00-7f01 r-xp 00000000 08:01 77                 {path}\n");
        let quiet = line("/usr/lib/libc.so.6")
            + &line("/opt/ours/libonnxruntime.so.1.28.0")
            + &line("/opt/ours/libonnxruntime_providers_shared.so")
            + "7f02-7f03 rw-p 00000000 00:00 0\n";
        assert_eq!(other_runtime(&quiet, ours), None);
        for other in [
            "/opt/a b/libonnxruntime.so.1.22.0",
            "/x/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
        ] {
            let maps = quiet.clone() + &line(other);
            assert_eq!(other_runtime(&maps, ours), Some(PathBuf::from(other)));
        }
        let named = Path::new("/opt/a b/libonnxruntime.so.1.22.0");
        assert_eq!(version(named).as_deref(), Some("1.22.0"));
        assert_eq!(version(Path::new("/x/onnxruntime_pybind11_state.so")), None);
    }
}
