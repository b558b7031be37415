//! Keys and signatures.

use super::{KeygenArgs, SignArgs, report};
use crate::exit::{Because, Cause, Failure};
use echocart_core::config::PackageConfig;
use echocart_core::package::{MANIFEST, Package, PackageError};
use echocart_core::signature::{PrivateKey, SIGNATURE, Signed};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

/// Largest private key file read.
const MOST_KEY_BYTES: u64 = 4096;

/// Makes a private key file and prints the public key.
pub fn keygen(args: &KeygenArgs) -> Result<ExitCode, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| anyhow::anyhow!("no random numbers from the system: {e}"))
        .because(Cause::Other)?;
    let key = PrivateKey::from_random(&seed);
    let path = args.out.display();
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    let mut file = file.open(&args.out).map_err(|e| {
        let text = match e.kind() {
            ErrorKind::AlreadyExists => {
                format!("private key: expected no file yet, found one ({path})")
            }
            _ => format!("cannot write the private key: {e} ({path})"),
        };
        Failure::text(Cause::Other, text)
    })?;
    let written = file
        .write_all(key.to_pem().as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(e) = written {
        let _ = fs::remove_file(&args.out);
        let text = format!("cannot write the private key: {e} ({path})");
        return Err(Failure::text(Cause::Other, text));
    }
    let public = key.public();
    report(&format!(
        "private key: {path} (keep it secret; nothing replaces it)\n\
         public key: {public}\n\
         in a cart's configuration: trusted_keys = [\"{public}\"]\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Signs a package whose files are all unaltered.
pub fn sign(args: &SignArgs) -> Result<ExitCode, Failure> {
    let key = read_key(&args.key)?;
    let path = args.dir.join(SIGNATURE);
    let trust = PackageConfig {
        allow_unsigned: true,
        trusted_keys: vec![key.public()],
    };
    let signed = match Package::open(&args.dir, &trust) {
        Err(PackageError::Signature { .. }) if args.replace => {
            fs::remove_file(&path).map_err(|e| unwritten(&path, &e))?;
            Package::open(&args.dir, &trust)
        }
        package => package,
    }
    .because(Cause::Package)?;
    match signed.signed {
        Signed::Trusted(_) => {
            let public = key.public();
            report(&format!(
                "{} is already signed by {public}\n",
                signed.name()
            ))?;
            return Ok(ExitCode::SUCCESS);
        }
        Signed::Unknown(other) if !args.replace => {
            let text = format!(
                "signature: expected none, or --replace, found one by {other} ({})",
                path.display()
            );
            return Err(Failure::text(Cause::Package, text));
        }
        Signed::Unknown(_) | Signed::No => {}
    }
    let manifest = fs::read(args.dir.join(MANIFEST)).because(Cause::Package)?;
    if echocart_core::hash::sha256_hex(&manifest) != signed.hash {
        let text = format!("package changed while it was read ({})", args.dir.display());
        return Err(Failure::text(Cause::Package, text));
    }
    write_whole(&path, key.sign(&manifest).to_text().as_bytes())
        .map_err(|e| unwritten(&path, &e))?;
    let public = key.public();
    report(&format!("{} is signed by {public}\n", signed.name()))?;
    Ok(ExitCode::SUCCESS)
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let text = format!("cannot write the signature: {error} ({})", path.display());
    Failure::text(Cause::Other, text)
}

/// Writes beside `path` and renames, so that there is never half a signature.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("sig.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn read_key(path: &Path) -> Result<PrivateKey, Failure> {
    let shown = path.display();
    let failed = |text: String| Failure::text(Cause::Usage, text);
    let unreadable =
        |e: std::io::Error| failed(format!("cannot read the private key: {e} ({shown})"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(failed(format!(
            "private key: expected a plain file, found something else ({shown})"
        )));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(failed(format!(
            "private key: expected a file that only its owner may read (mode 0600), found mode \
             {mode:04o} ({shown})"
        )));
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MOST_KEY_BYTES).read_to_string(&mut text))
        .map_err(unreadable)?;
    PrivateKey::from_pem(&text).map_err(|e| failed(format!("{e} ({shown})")))
}
