//! What the process and its threads have used, from `/proc/self`.

use std::collections::BTreeMap;
use std::time::Instant;

/// CPU time of every live thread, and when it was read.
pub struct Usage {
    at: Instant,
    /// By thread name; threads of the same name together.
    nanos: BTreeMap<String, u64>,
}

impl Usage {
    /// Reads it now.
    pub fn now() -> Self {
        let mut nanos = BTreeMap::new();
        let tasks = std::fs::read_dir("/proc/self/task");
        for task in tasks.into_iter().flatten().flatten() {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file));
            let (Ok(name), Ok(stat)) = (read("comm"), read("schedstat")) else {
                continue;
            };
            let spent = stat.split_whitespace().next().and_then(|n| n.parse().ok());
            *nanos.entry(name.trim().to_owned()).or_default() += spent.unwrap_or(0);
        }
        Self {
            at: Instant::now(),
            nanos,
        }
    }

    /// Share of one core, in percent, that the threads chosen took since `before`.
    pub fn percent_since(&self, before: &Self, of: impl Fn(&str) -> bool) -> f64 {
        let spent = |usage: &Self| -> u64 {
            let chosen = usage.nanos.iter().filter(|(name, _)| of(name));
            chosen.map(|(_, nanos)| nanos).sum()
        };
        let passed = self.at.duration_since(before.at).as_nanos() as f64;
        100.0 * spent(self).saturating_sub(spent(before)) as f64 / passed.max(1.0)
    }
}

/// Resident memory, MiB.
pub fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// CPUs, and how many others wanted them: the load over the last minute.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load
        .split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned();
    format!("{cpus} CPUs, load of the last minute {load}")
}
