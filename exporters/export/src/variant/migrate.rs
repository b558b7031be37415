//! Factors moved from normalisations into the matrices that read them.

use super::constant::Kind;
use super::draft::Draft;
use crate::error::ExportError;
use std::collections::BTreeMap;

impl Draft<'_> {
    /// Divides the scale and bias of each norm by its vector and multiplies the rows of the layers
    /// that read it.
    pub(super) fn migrate(
        &mut self,
        migrations: &BTreeMap<String, Vec<f32>>,
    ) -> Result<(), ExportError> {
        let norms = self.model.norms();
        let linears = self.model.linear_layers();
        for (name, divisors) in migrations {
            let norm = norms.iter().find(|norm| norm.name == *name && norm.movable);
            let norm = norm.ok_or_else(|| {
                let message = format!("no norm {name} that linear layers alone read");
                self.model.wrong(message)
            })?;
            let usable = |divisor: &f32| divisor.is_finite() && *divisor > 0.0;
            if divisors.len() != norm.channels || !divisors.iter().all(usable) {
                let message = format!(
                    "migration of {name}: expected {} positive numbers, found {}",
                    norm.channels,
                    divisors.iter().filter(|d| usable(d)).count()
                );
                return Err(self.model.wrong(message));
            }
            for key in [&norm.scale, &norm.bias] {
                if let Some(constant) = self.constants.get_mut(key) {
                    constant.change.divisors.clone_from(divisors);
                    constant.kind = Kind::Floats;
                }
            }
            for layer in linears
                .iter()
                .filter(|layer| norm.linears.contains(&layer.name))
            {
                if self.readers(&layer.weight) != 1 {
                    let message = format!("weights of {}: read more than once", layer.name);
                    return Err(self.model.wrong(message));
                }
                if let Some(constant) = self.constants.get_mut(&layer.weight) {
                    constant.change.rows.clone_from(divisors);
                    constant.kind = Kind::Floats;
                }
            }
        }
        Ok(())
    }
}
