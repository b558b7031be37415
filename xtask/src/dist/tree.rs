//! Which file goes where in the delivery.

use super::archive::{Node, Tree};
use crate::layout::Layout;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const BRIDGE: &str = "firmware-bridge";

/// Folders of one kind of installation, without a slash at either end.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Above everything else; empty in the archive that is unpacked anywhere.
    pub prefix: &'a str,
    /// Libraries, below the prefix.
    pub libraries: &'a str,
}

/// What was built and made for one machine.
#[derive(Debug)]
pub struct Built {
    /// Version of the delivery.
    pub version: String,
    /// Major version of the ABI, which the soname carries.
    pub abi_major: u32,
    /// The shared library.
    pub shared: Vec<u8>,
    /// The static library.
    pub archive: Vec<u8>,
    /// The process that inference runs in.
    pub worker: Vec<u8>,
    /// The list of licences.
    pub licences: String,
}

/// Names of the shared library: the file, the soname, and what a linker looks for.
pub fn names(built: &Built) -> [String; 3] {
    [
        format!("libechocart.so.{}", built.version),
        format!("libechocart.so.{}", built.abi_major),
        "libechocart.so".to_owned(),
    ]
}

/// Lays out everything but the bill of materials.
///
/// # Errors
/// When a file of the checkout cannot be read.
pub fn lay_out(layout: &Layout, built: &Built, places: Places) -> Result<Tree> {
    let mut tree = Tree::new();
    let root = match places.prefix {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let libraries = format!("{root}{}", places.libraries);
    let share = format!("{root}share/echocart");
    let [file, soname, plain] = names(built);
    tree.insert(format!("{libraries}/{file}"), Node::plain(&*built.shared));
    tree.insert(format!("{libraries}/{soname}"), Node::Link(file));
    tree.insert(format!("{libraries}/{plain}"), Node::Link(soname));
    tree.insert(
        format!("{libraries}/libechocart.a"),
        Node::plain(&*built.archive),
    );
    let worker = Node::File {
        bytes: built.worker.clone(),
        executable: true,
    };
    tree.insert(format!("{libraries}/{}", super::WORKER), worker);

    let bridge = layout.root.join(BRIDGE);
    let mut copy = |from: &Path, to: String| -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read ({})", from.display()))?;
        tree.insert(to, Node::plain(bytes));
        Ok(())
    };
    for (from, to) in [
        ("include/echocart.h", format!("{root}include/echocart.h")),
        (
            "wrapper/echocart.hpp",
            format!("{root}include/echocart.hpp"),
        ),
        ("wrapper/echocart.py", format!("{share}/python/echocart.py")),
        ("README.md", format!("{share}/CONTRACT.md")),
        ("JETSON.md", format!("{share}/JETSON.md")),
        ("../configs/README.md", format!("{share}/CONFIGURATION.md")),
        ("../configs/carts/demo.toml", format!("{share}/cart.toml")),
        ("packaging/README.md", format!("{share}/README.md")),
        ("../LICENSE-APACHE", format!("{share}/LICENSE-APACHE")),
        ("../LICENSE-MIT", format!("{share}/LICENSE-MIT")),
    ] {
        copy(&bridge.join(from), to)?;
    }
    for folder in ["examples", "conformance"] {
        for path in files(&bridge.join(folder))? {
            let below = path.strip_prefix(&bridge).unwrap_or(&path);
            copy(&path, format!("{share}/{}", below.display()))?;
        }
    }
    let fill = |name: &str| -> Result<Node> {
        let path = bridge.join("packaging").join(name);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read ({})", path.display()))?;
        Ok(Node::plain(substitute(&text, built, places)))
    };
    for (name, to) in [
        ("echocart.pc.in", "pkgconfig/echocart.pc"),
        (
            "echocart-config.cmake.in",
            "cmake/echocart/echocart-config.cmake",
        ),
        (
            "echocart-config-version.cmake.in",
            "cmake/echocart/echocart-config-version.cmake",
        ),
    ] {
        tree.insert(format!("{libraries}/{to}"), fill(name)?);
    }
    tree.insert(
        format!("{share}/THIRD-PARTY.txt"),
        Node::plain(&*built.licences),
    );
    Ok(tree)
}

/// Fills the `@words@` of a template.
fn substitute(text: &str, built: &Built, places: Places) -> String {
    let up = "/..".repeat(places.libraries.split('/').count());
    let [file, soname, _] = names(built);
    text.replace("@VERSION@", &built.version)
        .replace("@ABI_MAJOR@", &built.abi_major.to_string())
        .replace("@FILE@", &file)
        .replace("@SONAME@", &soname)
        .replace("@UP@", &up)
        .replace("@LIBDIR@", places.libraries)
}

/// Every file below a folder, sorted.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let cannot_read = || format!("cannot read ({})", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_finds_its_way_up_from_where_libraries_lie() {
        let built = Built {
            version: "1.2.3".to_owned(),
            abi_major: 4,
            shared: Vec::new(),
            archive: Vec::new(),
            worker: Vec::new(),
            licences: String::new(),
        };
        let places = Places {
            prefix: "usr",
            libraries: "lib/x86_64-linux-gnu",
        };
        let filled = substitute("${here}@UP@ @LIBDIR@ @SONAME@ @FILE@", &built, places);
        let expected = "${here}/../.. lib/x86_64-linux-gnu libechocart.so.4 libechocart.so.1.2.3";
        assert_eq!(filled, expected);
    }
}
