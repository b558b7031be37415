//! Whether this machine runs on its battery.

use std::fs;
use std::path::Path;

/// Where Linux lists power supplies.
const SUPPLIES: &str = "/sys/class/power_supply";

/// True on battery; false without one, and where the system does not say.
pub fn on_battery() -> bool {
    on_battery_by(Path::new(SUPPLIES))
}

/// A system battery discharges, and no mains supply is on. Batteries of mice and pens do not count.
fn on_battery_by(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut discharging = false;
    for supply in entries.flatten() {
        let says = |file: &str, word: &str| {
            let text = fs::read_to_string(supply.path().join(file));
            text.is_ok_and(|text| text.trim() == word)
        };
        if says("online", "1") && !says("type", "Battery") {
            return false;
        }
        discharging |=
            says("type", "Battery") && says("status", "Discharging") && !says("scope", "Device");
    }
    discharging
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(folder: &Path, name: &str, files: &[(&str, &str)]) {
        let dir = folder.join(name);
        fs::create_dir(&dir).unwrap();
        for (file, text) in files {
            fs::write(dir.join(file), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn a_battery_counts_when_it_discharges_and_nothing_else_feeds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        assert!(!on_battery_by(&folder.join("none")));
        assert!(!on_battery_by(folder));
        let mouse = [
            ("type", "Battery"),
            ("status", "Discharging"),
            ("scope", "Device"),
        ];
        supply(folder, "mouse", &mouse);
        assert!(!on_battery_by(folder));
        supply(folder, "AC", &[("type", "Mains"), ("online", "0")]);
        supply(
            folder,
            "BAT0",
            &[("type", "Battery"), ("status", "Discharging")],
        );
        assert!(on_battery_by(folder));
        fs::write(folder.join("AC/online"), "1\n").unwrap();
        assert!(!on_battery_by(folder));
        fs::write(folder.join("AC/online"), "0\n").unwrap();
        fs::write(folder.join("BAT0/status"), "Full\n").unwrap();
        assert!(!on_battery_by(folder));
    }
}
