//! On which CPUs the engine computes.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread on some CPUs until it is dropped. Threads that the thread makes
/// meanwhile stay on them.
pub(crate) struct Affinity(Option<CpuSet>);

impl Affinity {
    /// None: as it is. What the system refuses is left as it was; see [`check`].
    ///
    /// # Real-time
    /// Two system calls here and one at the end; nothing without CPUs.
    pub fn of(cpus: &[usize]) -> Self {
        if cpus.is_empty() {
            return Self(None);
        }
        let before = sched_getaffinity(None).ok();
        let changed = before.is_some() && sched_setaffinity(None, &set(cpus)).is_ok();
        Self(before.filter(|_| changed))
    }
}

impl Drop for Affinity {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = sched_setaffinity(None, before);
        }
    }
}

fn set(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for &cpu in cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    set
}

/// Says which of the CPUs this process may not use.
pub(crate) fn check(cpus: &[usize]) -> Result<(), String> {
    if cpus.is_empty() {
        return Ok(());
    }
    let allowed = sched_getaffinity(None).map_err(|e| format!("CPUs of this process: {e}"))?;
    let may = |cpu: &&usize| **cpu < CpuSet::MAX_CPU && allowed.is_set(**cpu);
    if let Some(cpu) = cpus.iter().find(|cpu| !may(cpu)) {
        let here: Vec<String> = (0..CpuSet::MAX_CPU)
            .filter(|&c| allowed.is_set(c))
            .map(|c| c.to_string())
            .collect();
        return Err(format!(
            "engine.cpu_set: expected CPUs that this process may use, {}, found {cpu}",
            here.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_computes_where_it_should_and_goes_back() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|&c| before.is_set(c)).unwrap();
        {
            let _there = Affinity::of(&[first]);
            let now = sched_getaffinity(None).unwrap();
            assert!(now.is_set(first) && now.count() == 1);
            let made = std::thread::spawn(|| sched_getaffinity(None).unwrap().count());
            assert_eq!(made.join().unwrap(), 1);
        }
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }

    #[test]
    fn a_cpu_that_is_not_here_is_named() {
        assert_eq!(check(&[]), Ok(()));
        let error = check(&[1023]).unwrap_err();
        assert!(
            error.contains("engine.cpu_set") && error.contains("found 1023"),
            "{error}"
        );
    }
}
