//! Whose recordings they are, and which part of the split each patient is in.

use crate::exit::{Cause, Failure};
use crate::labelled::{Label, Labels};
use echocart_core::hash::sha256_hex;
use regex_lite::Regex;
use std::collections::BTreeSet;

/// Which patients fit and which are held out; none is in both.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Patients whose recordings fit the calibration.
    pub fitted: BTreeSet<String>,
    /// Patients whose recordings only check it.
    pub held_out: BTreeSet<String>,
}

impl Split {
    /// Splits by the order of the patients' SHA-256, so that it depends on nothing but the names.
    pub fn new(patients: &BTreeSet<String>, held_out_share: f64) -> Self {
        let mut order: Vec<(String, &String)> = patients
            .iter()
            .map(|p| (sha256_hex(p.as_bytes()), p))
            .collect();
        order.sort();
        let fitted = patients.len() - (patients.len() as f64 * held_out_share).floor() as usize;
        let mut names = order.into_iter().map(|(_, name)| name.clone());
        Self {
            fitted: names.by_ref().take(fitted).collect(),
            held_out: names.collect(),
        }
    }

    /// In words, for the manifest.
    pub fn words(&self) -> String {
        format!(
            "by patient, in the order of SHA-256 of the patient's name: the first {} fitted, the \
             other {} held out",
            self.fitted.len(),
            self.held_out.len()
        )
    }
}

/// The patient of each row.
pub fn patients(labels: &Labels, pattern: Option<&Regex>) -> Result<Vec<String>, Failure> {
    let of = |row: &Label| match (&row.patient, pattern) {
        (Some(_), Some(_)) => Err("one of the patient column and --patient-from, found both"),
        (Some(patient), None) => Ok(patient.clone()),
        (None, Some(pattern)) => {
            let found = pattern.captures(&row.shown).and_then(|c| c.get(1));
            let found = found.map(|m| m.as_str().to_owned());
            found
                .filter(|p| !p.is_empty())
                .ok_or("the pattern of --patient-from in the path, found no match")
        }
        (None, None) => Err("a patient in the column or --patient-from, found neither"),
    };
    let named = |row| {
        of(row).map_err(|what| {
            let text = format!("patient: expected {what} ({})", row.shown);
            Failure::text(Cause::Usage, text)
        })
    };
    labels.rows.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> BTreeSet<String> {
        (0..count).map(|n| format!("patient {n}")).collect()
    }

    #[test]
    fn every_patient_is_in_one_part() {
        for (count, share, held_out) in [(10, 0.2, 2), (11, 0.2, 2), (1, 0.5, 0), (40, 0.0, 0)] {
            let all = names(count);
            let split = Split::new(&all, share);
            assert_eq!(split.held_out.len(), held_out);
            assert!(split.fitted.is_disjoint(&split.held_out));
            assert_eq!(&(&split.fitted | &split.held_out), &all);
        }
    }

    #[test]
    fn more_patients_do_not_reorder_the_others() {
        let few = Split::new(&names(50), 0.5);
        let many = Split::new(&names(60), 0.5);
        let moved = few
            .held_out
            .iter()
            .filter(|p| many.fitted.contains(*p))
            .count();
        let back = few
            .fitted
            .iter()
            .filter(|p| many.held_out.contains(*p))
            .count();
        assert!(moved == 0 || back == 0, "{moved} {back}");
    }
}
