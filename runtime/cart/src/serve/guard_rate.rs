//! How often one client may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Clients remembered; more share one place.
const MOST_CLIENTS: usize = 1024;

/// A bucket of asks per client, refilled all the time.
#[derive(Debug)]
pub(super) struct Rate {
    burst: f64,
    per_second: f64,
    clients: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Rate {
    pub fn new(burst: f64, per_second: f64) -> Self {
        Self {
            burst,
            per_second,
            clients: Mutex::default(),
        }
    }

    /// Takes one ask out of a client's bucket; false when there is none.
    pub fn take(&self, client: IpAddr, now: Instant) -> bool {
        self.ask(client, now, 1.0)
    }

    /// True when a client still has an ask, without taking it.
    pub fn has(&self, client: IpAddr, now: Instant) -> bool {
        self.ask(client, now, 0.0)
    }

    fn ask(&self, client: IpAddr, now: Instant, cost: f64) -> bool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = |(left, then): (f64, Instant)| {
            let passed = now.saturating_duration_since(then).as_secs_f64();
            (left + passed * self.per_second).min(self.burst)
        };
        let mut key = network(client);
        if clients.len() >= MOST_CLIENTS && !clients.contains_key(&key) {
            clients.retain(|_, bucket| refilled(*bucket) < self.burst);
            if clients.len() >= MOST_CLIENTS {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let bucket = clients.entry(key).or_insert((self.burst, now));
        let left = refilled(*bucket);
        let granted = left >= 1.0;
        *bucket = (if granted { left - cost } else { left }, now);
        granted
    }
}

/// An IPv6 client may take any address of its network: all of them count as one.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_client_has_its_burst_then_its_rate_and_takes_nothing_from_others() {
        let rate = Rate::new(3.0, 2.0);
        let now = Instant::now();
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        assert!(rate.has(a, now));
        let taken = (0..9).filter(|_| rate.take(a, now)).count();
        assert_eq!(taken, 3);
        assert!(!rate.has(a, now) && rate.take(b, now));
        let later = now + Duration::from_secs(1);
        let taken = (0..9).filter(|_| rate.take(a, later)).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn one_network_of_many_addresses_is_one_client_and_memory_is_bounded() {
        let rate = Rate::new(3.0, 0.001);
        let now = Instant::now();
        let ip =
            |host: u32| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(host)));
        let taken = (0..9).filter(|n| rate.take(ip(*n), now)).count();
        assert_eq!(taken, 3);
        for n in 0..5000_u32 {
            rate.take(IpAddr::V4(n.into()), now);
        }
        assert!(rate.clients.lock().unwrap().len() <= MOST_CLIENTS + 1);
    }
}
