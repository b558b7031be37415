//! Writing an evaluation's files.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Evidence, chart, table};
use crate::TrainError;

/// Writes `report.json`, `report.md`, `card.txt`, `ef.svg` and `views.svg`. `package` and `int8` are
/// reports of `echocart evaluate` and `echocart quantise` to be taken in.
///
/// # Errors
/// [`TrainError::File`]; [`TrainError::Content`] for a report that is none.
pub fn write(
    mut evidence: Evidence,
    out: &Path,
    (package, int8): (Option<&Path>, Option<&Path>),
) -> Result<(), TrainError> {
    let report = &mut evidence.report;
    match package {
        Some(path) => report.package = Some(part(path, "figures")?),
        None => report
            .not_done
            .push("the exported package on phantoms".to_owned()),
    }
    match int8 {
        Some(path) => {
            let int8 = part(path, "variants").and_then(|all| member(all, "int8", path))?;
            report.int8 = Some(member(int8, "outcome", path)?);
        }
        None => report.not_done.push("INT8 against fp32".to_owned()),
    }
    fs::create_dir_all(out).map_err(TrainError::file(out))?;
    let json = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    let first = report.encoders.first();
    let view = first.and_then(|encoder| encoder.view.as_ref());
    let views = view.map(|view| chart::confusion(&view.confusion));
    for (name, text) in [
        ("report.json", json),
        ("report.md", table::markdown(report)),
        ("card.txt", table::card(report)),
        ("ef.svg", chart::fractions(&evidence.fractions)),
        ("views.svg", views.unwrap_or_default()),
    ] {
        let path = out.join(name);
        fs::write(&path, text).map_err(TrainError::file(&path))?;
    }
    Ok(())
}

/// One member of the JSON object in a file.
fn part(path: &Path, name: &str) -> Result<Value, TrainError> {
    let text = fs::read_to_string(path).map_err(TrainError::file(path))?;
    let all = serde_json::from_str(&text).map_err(|error| wrong(name, &error, path))?;
    member(all, name, path)
}

fn member(mut object: Value, name: &str, path: &Path) -> Result<Value, TrainError> {
    let part = object.get_mut(name).map(Value::take);
    part.ok_or_else(|| wrong(name, &"none", path))
}

fn wrong(name: &str, found: &dyn std::fmt::Display, path: &Path) -> TrainError {
    TrainError::Content {
        what: "report",
        expected: format!("a JSON object with {name}"),
        found: found.to_string(),
        path: path.to_owned(),
    }
}
