//! `cargo xtask dist`: the library as a vendor installs it.

mod archive;
mod crates;
mod elf;
mod sbom;
mod tree;

use crate::command::{self, cargo};
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use archive::{Node, Tree};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tree::{Built, Places};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const WORKER: &str = "echocart-worker";

/// Make the C library's delivery: a tar file and a Debian package with headers, wrappers, examples,
/// conformance kit, licences and a bill of materials
#[derive(Debug, Args)]
pub struct Dist {
    /// Machine to build for, as Rust names it; that of this machine without it
    #[arg(long)]
    target: Option<String>,
    /// Build with this rustc, in target/other: one that has the standard library of TARGET
    #[arg(long, value_name = "FILE", conflicts_with = "built")]
    rustc: Option<PathBuf>,
    /// Take libechocart.a and echocart-worker from this folder (the worker also from the one above
    /// it) and build nothing
    #[arg(long, value_name = "FOLDER")]
    built: Option<PathBuf>,
    /// Where the files go
    #[arg(long, value_name = "FOLDER", default_value = "target/dist")]
    out: PathBuf,
}

impl Dist {
    /// Builds for `target` with `rustc` into `out`.
    pub fn for_target(target: &str, rustc: &Path, out: &Path) -> Self {
        Self {
            target: Some(target.to_owned()),
            rustc: Some(rustc.to_owned()),
            built: None,
            out: out.to_owned(),
        }
    }

    /// Builds, checks and packs.
    ///
    /// # Errors
    /// When a step fails, or the library links or exports what it must not.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let target = self.target.as_deref().unwrap_or(&host);
        let machine = target.split('-').next().unwrap_or(target);
        let folder = match &self.built {
            Some(folder) => layout.root.join(folder),
            None => self.build(layout)?,
        };
        let crates = crates::linked(layout, target)?;
        let compiler = self.compiler()?;
        let tools = elf::Tools::of(machine);
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let header = header(layout)?;
        let (abi_major, functions) = (abi_major(&header)?, elf::declared(&header));
        let soname = format!("libechocart.so.{abi_major}");
        let node = format!("ECHOCART_{abi_major}");
        let (archive, linked) = (folder.join("libechocart.a"), work.path().join("linked.so"));
        tools.link(&archive, &functions, &soname, &node, &linked)?;
        let stripped = |how: &str, from: &Path, name: &str| -> Result<Vec<u8>> {
            tools.strip(how, from, &work.path().join(name))
        };
        let mut built = Built {
            version: VERSION.to_owned(),
            abi_major,
            shared: stripped("--strip-unneeded", &linked, "libechocart.so")?,
            archive: stripped("--strip-debug", &archive, "libechocart.a")?,
            worker: Vec::new(),
            licences: sbom::licences(&crates, &compiler)?,
        };
        let elf = tools.look(&work.path().join("libechocart.so"), &soname, &node)?;
        if let Some(missing) = functions.difference(&elf.exported).next() {
            bail!("expected every function of echocart.h in the library, found no {missing}");
        }

        let places = [folder.join(WORKER), folder.join("..").join(WORKER)];
        let worker = places.iter().find(|path| path.is_file());
        let worker = worker.with_context(|| format!("no {WORKER} ({})", folder.display()))?;
        built.worker = tools.strip("--strip-all", worker, &work.path().join(WORKER))?;

        let out = layout.root.join(&self.out);
        fs::create_dir_all(&out).with_context(|| format!("cannot create ({})", out.display()))?;
        let pack = |places: Places| -> Result<Tree> {
            let mut tree = tree::lay_out(layout, &built, places)?;
            let files: Vec<sbom::Described> = tree
                .iter()
                .filter_map(|(path, node)| match node {
                    Node::File { bytes, .. } => Some((path.as_str(), bytes.as_slice())),
                    Node::Link(_) => None,
                })
                .collect();
            let bom = sbom::sbom(VERSION, target, &compiler, &crates, &files)?;
            let share = format!("{}/share/echocart/sbom.cdx.json", places.prefix);
            let path = share.trim_start_matches('/').to_owned();
            tree.insert(path, Node::plain(bom));
            Ok(tree)
        };
        let name = format!("echocart-{VERSION}-{machine}-linux");
        let plain = pack(Places {
            prefix: "",
            libraries: "lib",
        })?;
        let tar = archive::tar_gz(&format!("{name}/"), &plain)?;
        let libraries = format!("lib/{machine}-linux-gnu");
        let installed = pack(Places {
            prefix: "usr",
            libraries: &libraries,
        })?;
        let debian = debian_machine(machine)?;
        let deb = deb(&installed, debian, &elf.glibc)?;

        println!("{} crates linked, {}", crates.len(), elf.words());
        for path in [
            "lib/echocart-worker",
            "lib/libechocart.a",
            &format!("lib/libechocart.so.{VERSION}"),
        ] {
            let bytes = plain.get(path).map_or(0, Node::len);
            println!("{bytes:>12} bytes {path} (without debugging information)");
        }
        write(layout, &out.join(format!("{name}.tar.gz")), &tar)?;
        write(
            layout,
            &out.join(format!("libechocart_{VERSION}_{debian}.deb")),
            &deb,
        )
    }

    fn build(&self, layout: &Layout) -> Result<PathBuf> {
        let mut build = cargo(layout);
        build.args([
            "build",
            "--release",
            "--locked",
            "--package",
            "echocart-bridge",
            "--package",
            "echocart-infer",
        ]);
        let mut folder = layout.target();
        if let Some(rustc) = &self.rustc {
            folder.push("other");
            build.env("RUSTC", rustc).arg("--target-dir").arg(&folder);
        }
        if let Some(target) = &self.target {
            build.args(["--target", target]);
            folder.push(target);
            let (linker, gcc) = linker(target);
            if std::env::var_os(&linker).is_none() {
                build.env(linker, gcc);
            }
        }
        command::run(&mut build)?;
        Ok(folder.join("release"))
    }

    /// Release of the compiler that built, for example `1.92.0`.
    fn compiler(&self) -> Result<String> {
        let named = self.rustc.as_ref().map(|path| path.into());
        let rustc = named.or_else(|| std::env::var_os("RUSTC"));
        let rustc = rustc.unwrap_or_else(|| "rustc".into());
        let words = command::output(Command::new(rustc).arg("--version"))?;
        let release = words.split(' ').nth(1);
        Ok(release.context("rustc tells no version")?.to_owned())
    }
}

/// Cargo's variable for the linker of `target`, and Debian's name of it.
fn linker(target: &str) -> (String, String) {
    let machine = target.split('-').next().unwrap_or(target);
    let name = target.to_uppercase().replace('-', "_");
    let gcc = elf::Tools::of(machine).name("gcc");
    (format!("CARGO_TARGET_{name}_LINKER"), gcc)
}

fn write(layout: &Layout, path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write ({})", path.display()))?;
    let sum = sbom::sha256(bytes);
    println!(
        "{:>12} bytes {} sha256 {sum}",
        bytes.len(),
        layout.short(path).display()
    );
    Ok(())
}

/// A Debian package: an `ar` file of its version, its control files and its data.
fn deb(tree: &Tree, machine: &str, glibc: &str) -> Result<Vec<u8>> {
    let kibibytes: usize = tree.values().map(|node| node.len().div_ceil(1024)).sum();
    let control = format!(
        "Package: libechocart\nVersion: {VERSION}\nSection: libs\nPriority: optional\n\
         Architecture: {machine}\nDepends: libc6 (>= {glibc}), libgcc-s1\n\
         Maintainer: echocart\nInstalled-Size: {kibibytes}\n\
         Description: C library of echocart with headers, examples and conformance kit\n \
         Live B-mode frames in, view label and ejection fraction out. Research software,\n \
         not a medical device. ONNX Runtime is not part of it.\n"
    );
    let start = "#!/bin/sh\nset -e\nldconfig\n";
    let script = || Node::File {
        bytes: start.into(),
        executable: true,
    };
    let controls = Tree::from([
        ("control".to_owned(), Node::plain(control)),
        ("postinst".to_owned(), script()),
        ("postrm".to_owned(), script()),
    ]);
    archive::ar(&[
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", archive::tar_gz("./", &controls)?),
        ("data.tar.gz", archive::tar_gz("./", tree)?),
    ])
}

fn debian_machine(machine: &str) -> Result<&'static str> {
    match machine {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("expected a target for x86_64 or aarch64, found {other}"),
    }
}

fn header(layout: &Layout) -> Result<String> {
    let path = layout.root.join("firmware-bridge/include/echocart.h");
    fs::read_to_string(&path).with_context(|| format!("cannot read ({})", path.display()))
}

/// The number in the header's `ECHOCART_ABI_MAJOR`.
fn abi_major(header: &str) -> Result<u32> {
    header
        .lines()
        .find_map(|line| {
            let number = line.strip_prefix("#define ECHOCART_ABI_MAJOR ")?;
            number.trim().parse().ok()
        })
        .context("expected ECHOCART_ABI_MAJOR in echocart.h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_has_a_linker_of_its_own() {
        let machine = match std::env::consts::ARCH {
            "aarch64" => "x86_64",
            _ => "aarch64",
        };
        let (variable, gcc) = linker(&format!("{machine}-unknown-linux-gnu"));
        let capitals = machine.to_uppercase();
        assert_eq!(
            variable,
            format!("CARGO_TARGET_{capitals}_UNKNOWN_LINUX_GNU_LINKER")
        );
        assert_eq!(gcc, format!("{machine}-linux-gnu-gcc"));
    }
}
