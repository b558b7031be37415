//! Proofs on disk: one file per subject, each with a code under the folder's key.

use super::folder::{key, new_file, plain_file, private, said};
use super::mac::{equal, hmac_hex};
use echocart_core::engine::Timings;
use echocart_core::hash;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "echocart-gate 1";
const ENDING: &str = "proof";
const MOST_BYTES: u64 = 1 << 16;
/// Records looked at for the reason of a miss.
const MOST_RECORDS: usize = 256;

/// What was proven: names and values, each of one line.
pub(crate) type Subject = BTreeMap<&'static str, String>;

/// An open cache folder.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// Why it is not used, in words.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let folder = private(folder)?;
        let key = key(&folder)?;
        Ok(Self { folder, key })
    }

    /// The times kept with the subject's proof.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn find(&self, subject: &Subject) -> Result<Timings, String> {
        let path = self.path(subject);
        if fs::symlink_metadata(&path).is_err() {
            return Err(self.nearest(subject));
        }
        let (fields, timings) = self.read(&path)?;
        match differences(subject, &fields)[..] {
            [] => Ok(timings),
            _ => Err("the record is of another engine".to_owned()),
        }
    }

    /// Writes a proof. A half-written one is never found under its name.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn keep(&self, subject: &Subject, timings: &Timings) -> Result<(), String> {
        let path = self.path(subject);
        let mut body = format!("{FIRST_LINE}\n{}", lines(subject));
        let _ = writeln!(body, "encode_nanos {}", timings.encode_nanos);
        for ((name, key), nanos) in &timings.heads_nanos {
            let _ = writeln!(body, "head {name} {key} {nanos}");
        }
        let code = hmac_hex(&self.key, body.as_bytes());
        let _ = writeln!(body, "mac {code}");
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let written = new_file(&new)
            .and_then(|mut file| {
                file.write_all(body.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(|e| {
            let _ = fs::remove_file(&new);
            said(&e, &path)
        })
    }

    fn path(&self, subject: &Subject) -> PathBuf {
        let name = hash::sha256_hex(lines(subject).as_bytes());
        self.folder.join(name).with_extension(ENDING)
    }

    fn read(&self, path: &Path) -> Result<(BTreeMap<String, String>, Timings), String> {
        let text = plain_file(path, MOST_BYTES)?;
        let broken = || "the record is damaged or was not made here".to_owned();
        let text = String::from_utf8(text).map_err(|_| broken())?;
        let (body, code) = text.rsplit_once("mac ").ok_or_else(broken)?;
        let code = code.strip_suffix('\n').ok_or_else(broken)?;
        if !equal(code, &hmac_hex(&self.key, body.as_bytes())) {
            return Err(broken());
        }
        let mut all = body.lines();
        if all.next() != Some(FIRST_LINE) {
            return Err("the record is of another version of echocart".to_owned());
        }
        let (mut fields, mut timings) = (BTreeMap::new(), Timings::default());
        for line in all {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["encode_nanos", n] => timings.encode_nanos = n.parse().map_err(|_| broken())?,
                ["head", name, key, n] => {
                    let graph = (name.to_owned(), key.to_owned());
                    let nanos = n.parse().map_err(|_| broken())?;
                    timings.heads_nanos.insert(graph, nanos);
                }
                _ => {
                    let (name, value) = line.split_once(' ').ok_or_else(broken)?;
                    fields.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok((fields, timings))
    }

    /// In what the nearest record of the same variant and provider differs.
    fn nearest(&self, subject: &Subject) -> String {
        let never = || "never proven here".to_owned();
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return never();
        };
        let records = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == ENDING))
            .take(MOST_RECORDS);
        records
            .filter_map(|path| self.read(&path).ok())
            .map(|(fields, _)| differences(subject, &fields))
            .filter(|differ| !differ.iter().any(|d| matches!(*d, "variant" | "provider")))
            .min_by_key(Vec::len)
            .map_or_else(never, |differ| {
                format!("proven before with another {}", differ.join(", "))
            })
    }
}

fn differences(subject: &Subject, fields: &BTreeMap<String, String>) -> Vec<&'static str> {
    let other = |(name, value): &(&&'static str, &String)| fields.get(**name) != Some(*value);
    subject
        .iter()
        .filter(other)
        .map(|(name, _)| *name)
        .collect()
}

fn lines(subject: &Subject) -> String {
    let mut text = String::new();
    for (name, value) in subject {
        let value = value.replace(char::is_control, " ");
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests;
