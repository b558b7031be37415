//! A look into the shared library: what it needs, what it exports, how it is called.

use crate::command::{self, output};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Libraries of the system that the shared library may need, by the beginning of their names.
const ALLOWED: [&str; 6] = [
    "libc.so.",
    "libm.so.",
    "libgcc_s.so.",
    "libdl.so.",
    "libpthread.so.",
    "ld-linux-",
];

/// How the shared library is linked: complete, read-only where it can be, and never unloaded.
const LINK: [&str; 9] = [
    "-Wl,-z,defs,-z,relro,-z,now,-z,nodelete,-z,noexecstack,-z,start-stop-visibility=hidden",
    "-Wl,--gc-sections",
    "-Wl,--build-id=sha1",
    "-Wl,--as-needed",
    "-lgcc_s",
    "-lm",
    "-ldl",
    "-lpthread",
    "-lc",
];

/// The compiler and binutils for one machine.
#[derive(Debug)]
pub struct Tools {
    prefix: String,
}

/// What a look found.
#[derive(Debug)]
pub struct Elf {
    /// Libraries it needs.
    pub needed: Vec<String>,
    /// Functions it exports.
    pub exported: BTreeSet<String>,
    /// Oldest glibc that has everything it uses, for example `2.34`.
    pub glibc: String,
}

impl Elf {
    /// One line for a person.
    pub fn words(&self) -> String {
        let needed = self.needed.join(", ");
        let exported = self.exported.len();
        format!(
            "{exported} functions exported, needs glibc {} and {needed}",
            self.glibc
        )
    }
}

impl Tools {
    /// Picks the tools for `machine`.
    pub fn of(machine: &str) -> Self {
        let native = machine == std::env::consts::ARCH;
        let prefix = if native {
            String::new()
        } else {
            format!("{machine}-linux-gnu-")
        };
        Self { prefix }
    }

    /// The program that `name` is called here.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn tool(&self, name: &str) -> Command {
        Command::new(self.name(name))
    }

    /// Links the shared library out of the static one, with every function of the ABI under one
    /// version node and nothing else visible.
    ///
    /// Cargo's own shared library cannot have the node: rustc hands the linker a list without one,
    /// which GNU ld refuses to combine and lld lets win.
    ///
    /// # Errors
    /// When the linker does not find all that the functions need in glibc and libgcc.
    pub fn link(
        &self,
        archive: &Path,
        functions: &BTreeSet<String>,
        soname: &str,
        node: &str,
        to: &Path,
    ) -> Result<()> {
        let script = to.with_extension("map");
        let names: String = functions
            .iter()
            .map(|name| format!("    {name};\n"))
            .collect();
        let text = format!("{node} {{\n  global:\n{names}  local:\n    *;\n}};\n");
        fs::write(&script, text).with_context(|| format!("cannot write ({})", script.display()))?;
        let mut gcc = self.tool("gcc");
        gcc.arg("-shared").arg("-o").arg(to);
        for function in functions {
            gcc.arg(format!("-Wl,--undefined={function}"));
        }
        gcc.arg(archive)
            .arg(format!("-Wl,--version-script={}", script.display()))
            .arg(format!("-Wl,-soname,{soname}"))
            .args(LINK);
        command::run(&mut gcc)
    }

    /// Strips a copy of a library and reads it.
    ///
    /// # Errors
    /// When the library is not there or `strip` fails.
    pub fn strip(&self, how: &str, from: &Path, to: &Path) -> Result<Vec<u8>> {
        let mut strip = self.tool("strip");
        strip.args(["--enable-deterministic-archives", how, "-o"]);
        command::run(strip.arg(to).arg(from))?;
        fs::read(to).with_context(|| format!("cannot read ({})", to.display()))
    }

    /// Checks the soname, what is needed, what is exported and under which version.
    ///
    /// # Errors
    /// When one of them is not as it must be.
    pub fn look(&self, library: &Path, soname: &str, node: &str) -> Result<Elf> {
        let dynamic = output(self.tool("readelf").args(["-d", "-W"]).arg(library))?;
        if !dynamic.contains(&format!("soname: [{soname}]")) {
            bail!(
                "expected the soname {soname}, found another ({})",
                library.display()
            );
        }
        let needed: Vec<String> = dynamic
            .lines()
            .filter(|line| line.contains("(NEEDED)"))
            .filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').to_owned()))
            .collect();
        let allowed = |name: &String| ALLOWED.iter().any(|begin| name.starts_with(begin));
        if let Some(found) = needed.iter().find(|name| !allowed(name)) {
            bail!("expected no library beyond glibc and libgcc, found {found}");
        }
        let symbols = output(self.tool("nm").args(["-D", "-P"]).arg(library))?;
        let mut exported = BTreeSet::new();
        for symbol in symbols.lines().filter_map(defined) {
            let name = symbol.split('@').next().unwrap_or(symbol);
            if !name.starts_with("echocart_") {
                bail!("expected only echocart_* to be exported, found {name}");
            }
            if symbol != format!("{name}@@{node}") {
                bail!("expected {name}@@{node}, found {symbol}");
            }
            exported.insert(name.to_owned());
        }
        if !dynamic.contains("NODELETE") {
            bail!("expected a library that stays mapped (-z nodelete), found another");
        }
        let versions = output(self.tool("readelf").args(["-V", "-W"]).arg(library))?;
        Ok(Elf {
            needed,
            exported,
            glibc: glibc(&versions).context("expected glibc versions, found none")?,
        })
    }
}

/// The functions that a header declares.
pub fn declared(header: &str) -> BTreeSet<String> {
    header
        .split("ECHOCART_CALL ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .filter(|name| name.starts_with("echocart_") && !name.contains(char::is_whitespace))
        .map(str::to_owned)
        .collect()
}

/// The symbol on a line of `nm -P`, unless it is undefined or the name of a version.
fn defined(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    let (name, kind) = (words.next()?, words.next()?);
    (!["U", "w", "v", "A"].contains(&kind)).then_some(name)
}

/// The latest `GLIBC_` version that is asked for.
fn glibc(versions: &str) -> Option<String> {
    let numbers = versions.split("GLIBC_").skip(1).filter_map(|rest| {
        let text: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let parts: Vec<u32> = text
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect();
        Some((parts, text)).filter(|(parts, _)| !parts.is_empty())
    });
    numbers.max().map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_glibc_is_by_number() {
        let found = glibc("Name: GLIBC_2.9  Flags\nName: GLIBC_2.34 x\nName: GLIBC_2.3.4");
        assert_eq!(found.as_deref(), Some("2.34"));
        assert_eq!(glibc("nothing"), None);
    }

    #[test]
    fn functions_are_found_in_a_header_and_callback_types_are_not() {
        let header = "ECHOCART_API uint32_t ECHOCART_CALL echocart_a(void);\nECHOCART_API\n\
                      uint32_t ECHOCART_CALL echocart_b(int x,\n int y);\n\
                      typedef void (ECHOCART_CALL *echocart_c_t)(void);";
        let found: Vec<String> = declared(header).into_iter().collect();
        assert_eq!(found, ["echocart_a", "echocart_b"]);
    }

    #[test]
    fn undefined_symbols_are_not_exports() {
        assert_eq!(defined("malloc@GLIBC_2.2.5 U"), None);
        assert_eq!(defined("ECHOCART_0 A 0 "), None);
        let symbol = "echocart_x@@ECHOCART_0";
        assert_eq!(defined("echocart_x@@ECHOCART_0 T 1 2"), Some(symbol));
    }

    #[test]
    fn a_library_beyond_the_systems_is_refused() {
        let libc = Path::new("/lib/x86_64-linux-gnu/libm.so.6");
        if !libc.exists() {
            return;
        }
        let tools = Tools::of(std::env::consts::ARCH);
        let message = tools
            .look(libc, "libechocart.so.0", "N")
            .unwrap_err()
            .to_string();
        assert!(message.contains("expected the soname"), "{message}");
        let message = tools.look(libc, "libm.so.6", "N").unwrap_err().to_string();
        assert!(message.contains("only echocart_*"), "{message}");
    }
}
