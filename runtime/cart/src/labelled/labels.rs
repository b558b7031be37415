//! What is known about recordings: their paths, views, ejection fractions and patients.

use super::csv;
use crate::exit::{Cause, Failure};
use clap::ValueEnum;
use echocart_core::hash::sha256_hex;
use echocart_core::manifest::{HeadOutput, LVEF, Manifest};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Start of a location that is no file: a simulated heart.
const PHANTOM: &str = "phantom:";

/// Largest label file read.
const MOST_BYTES: u64 = 64 << 20;

/// What the label of the two-column form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LabelForm {
    /// Index of the view in the package's list of labels.
    ViewIndex,
    /// Ejection fraction in percent.
    LvefPercent,
    /// Ejection fraction as the probe was trained on it: standardised with the package's mean and
    /// standard deviation.
    LvefZ,
}

/// One recording and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Where it is.
    pub path: PathBuf,
    /// The path as the file writes it.
    pub shown: String,
    /// Index of its view.
    pub view: Option<usize>,
    /// Its ejection fraction in percent.
    pub lvef: Option<f64>,
    /// Whose it is.
    pub patient: Option<String>,
}

/// A label file.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// Its rows in order, no path twice.
    pub rows: Vec<Label>,
    /// Its name without folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    labels: &'a [String],
    scale: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Path,
    View,
    Lvef,
    Patient,
}

impl Labels {
    /// Reads a label file of either form.
    pub fn open(
        path: &Path,
        form: Option<LabelForm>,
        manifest: &Manifest,
    ) -> Result<Self, Failure> {
        let bytes = read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let shown = path.display();
            let text = format!("labels: expected UTF-8 text, found {e} ({shown})");
            Failure::text(Cause::Usage, text)
        })?;
        let reader = Reader {
            path,
            folder: path.parent().unwrap_or(Path::new("")),
            labels: manifest.view_labels(),
            scale: match manifest.heads.get(LVEF).map(|h| &h.output) {
                Some(HeadOutput::Regression { mean, std, .. }) => Some((*mean, *std)),
                _ => None,
            },
        };
        let rows = reader.rows(text.strip_prefix('\u{feff}').unwrap_or(text), form)?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            rows,
            name: name.to_string_lossy().into_owned(),
            sha256: sha256_hex(&bytes),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |found: &dyn std::fmt::Display| {
        let shown = path.display();
        Failure::text(Cause::Usage, format!("labels: {found} ({shown})"))
    };
    let metadata = std::fs::metadata(path).map_err(|e| wrong(&format!("cannot read: {e}")))?;
    if !metadata.is_file() {
        return Err(wrong(&"expected a regular file, found something else"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| wrong(&format!("cannot read: {e}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong(&format!(
            "expected at most {MOST_BYTES} bytes, found more"
        )));
    }
    Ok(bytes)
}

impl Reader<'_> {
    fn wrong(&self, line: usize, what: impl std::fmt::Display) -> Failure {
        let shown = self.path.display();
        Failure::text(
            Cause::Usage,
            format!("labels: line {line}: {what} ({shown})"),
        )
    }

    fn rows(&self, text: &str, form: Option<LabelForm>) -> Result<Vec<Label>, Failure> {
        let mut lines = text.lines().zip(1..).filter(|(l, _)| !l.trim().is_empty());
        let mut rows = Vec::new();
        let mut seen = BTreeMap::new();
        let mut keep = |row: Label, line: usize| match seen.insert(row.path.clone(), line) {
            Some(first) => {
                let found = format!("it on line {first} too: {}", row.shown);
                Err(self.wrong(line, format!("expected each path once, found {found}")))
            }
            None => {
                rows.push(row);
                Ok(())
            }
        };
        let Some((first, number)) = lines.next() else {
            return Err(self.wrong(1, "expected labels, found nothing"));
        };
        match self.header(first, number)? {
            Some(columns) => {
                if form.is_some() {
                    let what = "expected two columns with --label, found a header";
                    return Err(self.wrong(number, what));
                }
                for (line, number) in lines {
                    keep(self.by_header(line, number, &columns)?, number)?;
                }
            }
            None => {
                let Some(form) = form else {
                    let what = "expected a header with path, or --label for two columns, found";
                    return Err(self.wrong(number, format!("{what} {first:?}")));
                };
                for (line, number) in std::iter::once((first, number)).chain(lines) {
                    keep(self.by_form(line, number, form)?, number)?;
                }
            }
        }
        if rows.is_empty() {
            return Err(self.wrong(number, "expected rows below the header, found none"));
        }
        Ok(rows)
    }

    /// The columns, if the line is a header.
    fn header(&self, line: &str, number: usize) -> Result<Option<Vec<Column>>, Failure> {
        let names = csv::fields(line).unwrap_or_default();
        if !names.iter().any(|n| n == "path") {
            return Ok(None);
        }
        let mut columns = Vec::new();
        for name in names {
            let column = match name.as_str() {
                "path" => Column::Path,
                "view" => Column::View,
                "lvef" => Column::Lvef,
                "patient" => Column::Patient,
                _ => {
                    let expected = "path, view, lvef and patient";
                    let what = format!("expected columns {expected}, found {name:?}");
                    return Err(self.wrong(number, what));
                }
            };
            if columns.contains(&column) {
                let what = format!("expected each column once, found two of {name:?}");
                return Err(self.wrong(number, what));
            }
            columns.push(column);
        }
        Ok(Some(columns))
    }

    fn by_header(&self, line: &str, number: usize, columns: &[Column]) -> Result<Label, Failure> {
        let fields = csv::fields(line).filter(|f| f.len() == columns.len());
        let Some(fields) = fields else {
            let what = format!("expected {} fields, found {line:?}", columns.len());
            return Err(self.wrong(number, what));
        };
        let mut row = Label {
            path: PathBuf::new(),
            shown: String::new(),
            view: None,
            lvef: None,
            patient: None,
        };
        for (field, column) in fields.into_iter().zip(columns) {
            match column {
                Column::Path => self.place(&mut row, field, number)?,
                _ if field.is_empty() => {}
                Column::View => row.view = Some(self.view(&field, number)?),
                Column::Lvef => row.lvef = Some(self.lvef(&field, (0.0, 1.0), number)?),
                Column::Patient => row.patient = Some(field),
            }
        }
        Ok(row)
    }

    fn by_form(&self, line: &str, number: usize, form: LabelForm) -> Result<Label, Failure> {
        let split = line.trim().rsplit_once([' ', '\t']);
        let Some((path, label)) = split.map(|(p, l)| (p.trim().trim_matches('"'), l)) else {
            let what = format!("expected a path, a space and a label, found {line:?}");
            return Err(self.wrong(number, what));
        };
        let mut row = Label {
            path: PathBuf::new(),
            shown: String::new(),
            view: None,
            lvef: None,
            patient: None,
        };
        self.place(&mut row, path.to_owned(), number)?;
        match form {
            LabelForm::ViewIndex => {
                let index = label
                    .parse()
                    .ok()
                    .filter(|&i: &usize| i < self.labels.len());
                let Some(index) = index else {
                    let most = self.labels.len().saturating_sub(1);
                    let what = format!("view index: expected 0 to {most}, found {label:?}");
                    return Err(self.wrong(number, what));
                };
                row.view = Some(index);
            }
            LabelForm::LvefPercent => row.lvef = Some(self.lvef(label, (0.0, 1.0), number)?),
            LabelForm::LvefZ => {
                let Some(scale) = self.scale else {
                    let what = "expected a package with an lvef head, found one without";
                    return Err(self.wrong(number, what));
                };
                row.lvef = Some(self.lvef(label, scale, number)?);
            }
        }
        Ok(row)
    }

    fn place(&self, row: &mut Label, path: String, number: usize) -> Result<(), Failure> {
        if path.is_empty() {
            return Err(self.wrong(number, "expected a path, found none"));
        }
        row.path = match path.starts_with(PHANTOM) {
            true => PathBuf::from(&path),
            false => self.folder.join(&path),
        };
        row.shown = path;
        Ok(())
    }

    fn view(&self, field: &str, number: usize) -> Result<usize, Failure> {
        let at = self.labels.iter().position(|l| l == field);
        at.ok_or_else(|| {
            let expected = self.labels.join(", ");
            let what = format!("view: expected one of {expected}, found {field:?}");
            self.wrong(number, what)
        })
    }

    fn lvef(&self, field: &str, scale: (f64, f64), number: usize) -> Result<f64, Failure> {
        let (mean, std) = scale;
        let percent = field.parse::<f64>().ok().map(|v| v * std + mean);
        match percent.filter(|p| (0.0..=100.0).contains(p)) {
            Some(percent) => Ok(percent),
            None => {
                let expected = if scale == (0.0, 1.0) {
                    "0 to 100 percent".to_owned()
                } else {
                    format!("a standardised value of 0 to 100 percent (mean {mean}, std {std})")
                };
                let what = format!("lvef: expected {expected}, found {field:?}");
                Err(self.wrong(number, what))
            }
        }
    }
}
