//! What leaving out the patches outside the imaging area does to a variant.

use super::validate::wrong;
use super::{LVEF, Manifest, ManifestError, Tokens, Trained};
use serde::{Deserialize, Serialize};

/// Least share of clips with the same view, without and with all tokens.
const LEAST_AGREEMENT: f64 = 0.98;
/// Largest mean difference of EF, percentage points.
const MOST_SHIFT: f64 = 1.0;

/// What clips gave without the patches wholly outside the imaging area, beside what they gave with
/// all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeptTokens {
    /// Clips that were compared.
    pub clips: u64,
    /// Share of them with the same most probable view, 0 to 1.
    pub view_agreement: f64,
    /// Mean absolute difference of EF, percentage points; none for a package without EF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ef_shift: Option<f64>,
}

impl Manifest {
    /// Whether clips may be encoded without the patches wholly outside the imaging area.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn may_keep_fewer(&self, variant: &str) -> Result<(), String> {
        self.takes_fewer(variant)?;
        if self.card.trained == Trained::Untrained {
            return Err("the package is not trained".to_owned());
        }
        let Some(found) = self.kept_tokens.get(variant) else {
            return Err(format!("variant {variant} was not measured with fewer"));
        };
        let agreement = found.view_agreement;
        if agreement < LEAST_AGREEMENT {
            return Err(format!(
                "variant {variant} gives the same view on {:.1} % of clips, below 98 %",
                100.0 * agreement
            ));
        }
        match found.ef_shift {
            None if self.heads.contains_key(LVEF) => {
                Err(format!("variant {variant} was measured without its EF"))
            }
            Some(shift) if shift > MOST_SHIFT => Err(format!(
                "variant {variant} gives an EF {shift:.1} points off in the mean, above 1.0"
            )),
            _ => Ok(()),
        }
    }

    /// Whether a variant's graphs can be given fewer tokens at all.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn takes_fewer(&self, variant: &str) -> Result<(), String> {
        match self.variants.get(variant).map(|v| v.tokens) {
            Some(Tokens::Any(_)) => Ok(()),
            Some(Tokens::Exactly(tokens)) => Err(format!("variant {variant} takes {tokens}")),
            None => Err("no variant runs".to_owned()),
        }
    }

    pub(super) fn validate_kept_tokens(&self) -> Result<(), ManifestError> {
        for (variant, found) in &self.kept_tokens {
            let key = format!("kept_tokens.{variant}");
            if !self.variants.contains_key(variant) {
                return wrong(key, "the name of a variant", variant);
            }
            if found.clips == 0 {
                return wrong(format!("{key}.clips"), "at least 1", found.clips);
            }
            if !(0.0..=1.0).contains(&found.view_agreement) {
                let key = format!("{key}.view_agreement");
                return wrong(key, "0 to 1", found.view_agreement);
            }
            let shift = found.ef_shift.unwrap_or(0.0);
            if !(0.0..=100.0).contains(&shift) {
                return wrong(format!("{key}.ef_shift"), "0 to 100", shift);
            }
        }
        Ok(())
    }
}
