//! Fetching pinned wheels with pip, and taking files out of them.

use crate::digest::Found;
use crate::layout::Layout;
use crate::pins::{Member, Wheel};
use crate::pip;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

/// A member that is not on disk as pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    member: Member,
    altered: Option<String>,
}

/// The members that are absent or altered.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn lacking(wheel: &Wheel) -> Result<Vec<Lacking>> {
    let mut lacking = Vec::new();
    for &member in &wheel.members {
        let altered = match member.pin.look(&wheel.into.join(member.name))? {
            Found::Whole => continue,
            Found::Absent => None,
            Found::Altered(how) => Some(how),
        };
        lacking.push(Lacking { member, altered });
    }
    Ok(lacking)
}

/// Downloads a wheel, checks it, and puts what is lacking where it belongs.
///
/// # Errors
/// When pip fails, the file is not the pinned one, or writing fails. Nothing is then half-done.
pub fn fetch(wheel: &Wheel, lacking: &[Lacking], layout: &Layout) -> Result<()> {
    let into = layout.short(&wheel.into).display();
    for Lacking { member, altered } in lacking {
        if let Some(how) = altered {
            println!("altered, fetching it again: {how} ({into}/{})", member.name);
        }
    }
    println!(
        "fetching {} into {into}: {} with pip, {:.1} MB",
        wheel.title,
        wheel.requirement,
        wheel.pin.bytes as f64 / 1e6
    );
    let download = layout.echocart().join("download");
    clear(&download)?;
    create(&download)?;
    let placed = pip::download(wheel, &download).and_then(|()| {
        let file = download.join(wheel.file);
        check(wheel, &file)?;
        create(&wheel.into)?;
        lacking.iter().try_for_each(|Lacking { member, .. }| {
            extract(&file, member, &wheel.into.join(member.name))
        })
    });
    placed.and(clear(&download))
}

fn create(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create ({})", dir.display()))
}

fn clear(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove ({})", dir.display()))
        }
        _ => Ok(()),
    }
}

fn check(wheel: &Wheel, file: &Path) -> Result<()> {
    match wheel.pin.look(file)? {
        Found::Whole => Ok(()),
        Found::Altered(how) => bail!(
            "downloaded file is not the pinned one: {how} ({})",
            wheel.file
        ),
        Found::Absent => {
            let found = file.parent().map(names).unwrap_or_default();
            bail!(
                "downloaded file is not the pinned one: expected {}, found {found}",
                wheel.file
            )
        }
    }
}

fn names(dir: &Path) -> String {
    let names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

fn extract(wheel: &Path, member: &Member, to: &Path) -> Result<()> {
    let not_a_wheel = || format!("not a zip file ({})", wheel.display());
    let file = File::open(wheel).with_context(|| format!("cannot read ({})", wheel.display()))?;
    let mut archive = ZipArchive::new(file).with_context(not_a_wheel)?;
    let mut entry = match archive.by_name(member.path) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => {
            bail!(
                "the wheel lacks a file: expected {}, found none ({})",
                member.path,
                wheel.display()
            )
        }
        Err(error) => return Err(error).with_context(not_a_wheel),
    };
    member.pin.write(&mut entry, Path::new(member.path), to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Pin;
    use std::io::Write;
    use std::path::PathBuf;
    use zip::write::SimpleFileOptions;

    const ABC: Pin = Pin {
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    fn wheel_with(dir: &Path, path: &str, content: &str) -> PathBuf {
        let file = dir.join("a.whl");
        let mut zip = zip::ZipWriter::new(File::create(&file).unwrap());
        let options =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(path, options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
        zip.finish().unwrap();
        file
    }

    fn member() -> Member {
        Member {
            path: "a/b.so",
            name: "b.so",
            pin: ABC,
        }
    }

    fn pinned(dir: &Path) -> Wheel {
        Wheel {
            title: "a test file",
            requirement: "a==1",
            platforms: &["one", "two"],
            file: "a.whl",
            pin: ABC,
            into: dir.to_owned(),
            members: vec![member()],
        }
    }

    #[test]
    fn a_member_is_taken_out_whole() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel_with(dir.path(), "a/b.so", "abc");
        let to = dir.path().join("b.so");
        extract(&wheel, &member(), &to).unwrap();
        assert_eq!(fs::read(to).unwrap(), b"abc");
    }

    #[test]
    fn a_missing_member_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel_with(dir.path(), "a/c.so", "abc");
        let to = dir.path().join("b.so");
        let error = extract(&wheel, &member(), &to).unwrap_err();
        assert!(error.to_string().contains("expected a/b.so"), "{error}");
        assert!(!to.exists());
    }

    #[test]
    fn a_member_with_other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel_with(dir.path(), "a/b.so", "abd");
        let to = dir.path().join("b.so");
        let error = extract(&wheel, &member(), &to).unwrap_err();
        assert!(error.to_string().contains(ABC.sha256), "{error}");
        assert!(!to.exists());
    }

    #[test]
    fn a_cut_wheel_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel_with(dir.path(), "a/b.so", "abc");
        let whole = fs::read(&wheel).unwrap();
        fs::write(&wheel, &whole[..whole.len() / 2]).unwrap();
        let error = extract(&wheel, &member(), &dir.path().join("b.so")).unwrap_err();
        assert!(error.to_string().contains("not a zip file"), "{error}");
    }

    #[test]
    fn another_wheel_from_pip_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = pinned(dir.path());
        let file = dir.path().join(wheel.file);
        let error = check(&wheel, &file).unwrap_err();
        assert!(
            error.to_string().ends_with("expected a.whl, found nothing"),
            "{error}"
        );
        fs::write(dir.path().join("b.whl"), "abc").unwrap();
        let error = check(&wheel, &file).unwrap_err();
        assert!(
            error.to_string().ends_with("expected a.whl, found b.whl"),
            "{error}"
        );
        fs::write(&file, "abd").unwrap();
        let error = check(&wheel, &file).unwrap_err();
        assert!(error.to_string().contains(ABC.sha256), "{error}");
        fs::write(&file, "abc").unwrap();
        check(&wheel, &file).unwrap();
    }

    #[test]
    fn absent_and_altered_members_are_lacking_and_whole_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = pinned(dir.path());
        assert_eq!(lacking(&wheel).unwrap()[0].altered, None);
        fs::write(dir.path().join("b.so"), "abd").unwrap();
        assert!(lacking(&wheel).unwrap()[0].altered.is_some());
        fs::write(dir.path().join("b.so"), "abc").unwrap();
        assert!(lacking(&wheel).unwrap().is_empty());
    }
}
