//! The `.npz` file of expected outputs.

use super::{Answers, TOKENS};
use crate::npz::{self, Array, NpzError, Values};
use std::collections::BTreeMap;

const PLACES: &str = "token_index";
const KEPT: &str = "kept";

/// What the fp32 graphs made of a golden clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Of all its tokens.
    pub whole: Answers,
    /// Of fewer, by their number: those of [`super::bucket`].
    pub kept: BTreeMap<usize, Answers>,
}

/// An answer whose arrays are read one by one.
#[derive(Default)]
struct Parts {
    places: Option<Vec<usize>>,
    tokens: Option<Vec<f32>>,
    heads: BTreeMap<(String, String), Vec<f32>>,
}

fn wrong(what: &str, expected: &str, found: &str) -> NpzError {
    NpzError {
        what: what.escape_debug().to_string(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

impl Parts {
    fn take(&mut self, name: &str, values: Values) -> Result<(), NpzError> {
        let head = name.strip_prefix("head.").and_then(|n| n.split_once('.'));
        match (name, head, values) {
            (PLACES, _, Values::Integers(values)) => {
                let values: Result<Vec<usize>, _> =
                    values.into_iter().map(usize::try_from).collect();
                let expected = "places from 0";
                let values = values.map_err(|_| wrong(PLACES, expected, "a number below"))?;
                self.places = Some(values);
            }
            (TOKENS, _, Values::Floats(values)) => self.tokens = Some(values),
            (_, Some((head, key)), Values::Floats(values)) => {
                self.heads.insert((head.to_owned(), key.to_owned()), values);
            }
            _ => return Err(wrong(name, "an array of a golden clip", "another")),
        }
        Ok(())
    }

    fn whole(self) -> Result<Answers, NpzError> {
        Ok(Answers {
            places: self
                .places
                .ok_or_else(|| wrong(PLACES, "an array", "none"))?,
            tokens: self
                .tokens
                .ok_or_else(|| wrong(TOKENS, "an array", "none"))?,
            heads: self.heads,
        })
    }
}

impl Answers {
    fn arrays(&self, before: &str, arrays: &mut BTreeMap<String, Array>) {
        let rows = self.places.len();
        let dim = self.tokens.len() / rows.max(1);
        let places = self.places.iter().map(|&place| place as i64).collect();
        let tokens = Array::floats(&[rows, dim], self.tokens.clone());
        arrays.insert(format!("{before}{PLACES}"), Array::integers(places));
        arrays.insert(format!("{before}{TOKENS}"), tokens);
        for ((name, key), values) in &self.heads {
            let array = Array::floats(&[values.len()], values.clone());
            arrays.insert(format!("{before}head.{name}.{key}"), array);
        }
    }
}

impl Expected {
    /// The answers of all tokens, or of so many.
    pub fn of(mut self, bucket: Option<usize>) -> Option<Answers> {
        match bucket {
            None => Some(self.whole),
            Some(tokens) => self.kept.remove(&tokens),
        }
    }

    /// The bytes of the file: `token_index`, `tokens` and one `head.NAME.KEY` per graph, and the same
    /// with `keptN.` before it for N tokens.
    ///
    /// # Errors
    /// [`NpzError`] if the tokens are not as many as the places say.
    pub fn to_npz(&self) -> Result<Vec<u8>, NpzError> {
        let mut arrays = BTreeMap::new();
        self.whole.arrays("", &mut arrays);
        for (tokens, answers) in &self.kept {
            answers.arrays(&format!("{KEPT}{tokens}."), &mut arrays);
        }
        npz::write(&arrays)
    }

    /// Reads what [`Expected::to_npz`] wrote.
    ///
    /// # Errors
    /// [`NpzError`] for a missing or unknown array.
    pub fn from_npz(file: &[u8]) -> Result<Self, NpzError> {
        let mut whole = Parts::default();
        let mut kept: BTreeMap<usize, Parts> = BTreeMap::new();
        for (name, array) in npz::read(file)? {
            let bucket = name.strip_prefix(KEPT).and_then(|n| n.split_once('.'));
            match bucket.and_then(|(n, rest)| Some((n.parse().ok()?, rest))) {
                Some((tokens, rest)) => kept.entry(tokens).or_default().take(rest, array.values)?,
                None => whole.take(&name, array.values)?,
            }
        }
        let kept = kept.into_iter();
        let kept = kept.map(|(tokens, parts)| Ok((tokens, parts.whole()?)));
        Ok(Self {
            whole: whole.whole()?,
            kept: kept.collect::<Result<_, NpzError>>()?,
        })
    }
}
