//! Archives whose bytes depend on nothing but what is in them: sorted, without times and owners.

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::Write;

const BLOCK: usize = 512;
const EXECUTABLE: u32 = 0o755;
const PLAIN: u32 = 0o644;

/// What stands at a path of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File {
        /// Its content.
        bytes: Vec<u8>,
        /// It can be run.
        executable: bool,
    },
    /// A symbolic link to this path.
    Link(String),
}

impl Node {
    /// Makes a file that cannot be run.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self::File {
            bytes: bytes.into(),
            executable: false,
        }
    }

    /// Length of the content, bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::File { bytes, .. } => bytes.len(),
            Self::Link(_) => 0,
        }
    }
}

/// Files by their path, which has no leading slash.
pub type Tree = BTreeMap<String, Node>;

/// Packs a tree below `top` as a gzip-compressed tar file.
///
/// # Errors
/// When a path is too long for the ustar format.
pub fn tar_gz(top: &str, tree: &Tree) -> Result<Vec<u8>> {
    let mut gz = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    let mut folders = std::collections::BTreeSet::new();
    for (path, node) in tree {
        let path = format!("{top}{path}");
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..=at).unwrap_or_default();
            if folder != "./" && folders.insert(folder.to_owned()) {
                gz.write_all(&header(folder, b'5', EXECUTABLE, 0, "")?)?;
            }
        }
        match node {
            Node::File { bytes, executable } => {
                let mode = if *executable { EXECUTABLE } else { PLAIN };
                gz.write_all(&header(&path, b'0', mode, bytes.len(), "")?)?;
                gz.write_all(bytes)?;
                gz.write_all(&vec![0; bytes.len().next_multiple_of(BLOCK) - bytes.len()])?;
            }
            Node::Link(target) => gz.write_all(&header(&path, b'2', 0o777, 0, target)?)?,
        }
    }
    gz.write_all(&[0; 2 * BLOCK])?;
    gz.finish().context("cannot compress")
}

/// Packs members as an `ar` file, in the order given.
///
/// # Errors
/// When a name is too long.
pub fn ar(members: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        if name.len() > 16 {
            bail!("expected a member's name of at most 16 bytes, found {name}");
        }
        let size = bytes.len();
        writeln!(
            out,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`",
            0, 0, 0, 100_644
        )?;
        out.extend_from_slice(bytes);
        if size % 2 == 1 {
            out.push(b'\n');
        }
    }
    Ok(out)
}

fn header(path: &str, kind: u8, mode: u32, size: usize, target: &str) -> Result<Vec<u8>> {
    let (prefix, name) = split(path)?;
    let mut block = Vec::with_capacity(BLOCK);
    let mut field = |text: &str, bytes: usize| -> Result<()> {
        if text.len() > bytes {
            bail!("expected at most {bytes} bytes in a tar header, found {text}");
        }
        block.extend_from_slice(text.as_bytes());
        block.resize(block.len() + bytes - text.len(), 0);
        Ok(())
    };
    field(name, 100)?;
    field(&format!("{mode:07o}"), 8)?;
    field("0000000", 8)?;
    field("0000000", 8)?;
    field(&format!("{size:011o}"), 12)?;
    field("00000000000", 12)?;
    field("        ", 8)?;
    field(&char::from(kind).to_string(), 1)?;
    field(target, 100)?;
    field("ustar\x0000", 8)?;
    field("root", 32)?;
    field("root", 32)?;
    field("0000000", 8)?;
    field("0000000", 8)?;
    field(prefix, 155)?;
    field("", 12)?;
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    let digits = format!("{sum:06o}\0 ");
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(digits.as_bytes());
    }
    Ok(block)
}

/// Splits a path where the ustar format can: 155 bytes, a slash, 100 bytes.
fn split(path: &str) -> Result<(&str, &str)> {
    if path.len() <= 100 {
        return Ok(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (path.get(..at), path.get(at + 1..)))
        .find_map(|(prefix, name)| {
            let (prefix, name) = (prefix?, name?);
            (prefix.len() <= 155 && name.len() <= 100 && !name.is_empty()).then_some((prefix, name))
        })
        .with_context(|| format!("expected a path that fits a tar header, found {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;
    use std::fs;
    use std::process::Command;

    fn tree() -> Tree {
        let long = format!("deep/{}/{}", "d".repeat(90), "f".repeat(90));
        let run = Node::File {
            bytes: b"#!/bin/sh\nexit 0\n".to_vec(),
            executable: true,
        };
        Tree::from([
            ("b/run".to_owned(), run),
            ("a".to_owned(), Node::plain("content")),
            ("b/link".to_owned(), Node::Link("run".to_owned())),
            (long, Node::plain(vec![7; 513])),
        ])
    }

    #[test]
    fn tar_unpacks_what_was_packed_and_the_bytes_are_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = tar_gz("top/", &tree()).unwrap();
        assert_eq!(bytes, tar_gz("top/", &tree()).unwrap());
        let file = dir.path().join("x.tar.gz");
        fs::write(&file, &bytes).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&file).arg("-C").arg(dir.path());
        command::run(&mut tar).unwrap();
        let top = dir.path().join("top");
        assert_eq!(fs::read(top.join("a")).unwrap(), b"content");
        assert_eq!(
            fs::read_link(top.join("b/link")).unwrap().to_str(),
            Some("run")
        );
        command::run(&mut Command::new(top.join("b/run"))).unwrap();
        let long = tree().keys().find(|path| path.len() > 100).unwrap().clone();
        assert_eq!(fs::read(top.join(long)).unwrap(), [7; 513]);
    }

    #[test]
    fn an_ar_member_of_odd_length_is_padded() {
        let bytes = ar(&[("one", b"1".to_vec()), ("two", b"22".to_vec())]).unwrap();
        assert_eq!(bytes.len(), 8 + 60 + 2 + 60 + 2);
        assert_eq!(bytes.get(8 + 58..8 + 62), Some(&b"`\n1\n"[..]));
        assert!(ar(&[("a-name-that-is-too-long", Vec::new())]).is_err());
    }

    #[test]
    fn a_path_that_no_header_holds_is_refused() {
        let path = "x".repeat(101);
        assert!(tar_gz("", &Tree::from([(path, Node::plain(""))])).is_err());
    }
}
