//! Attention as plain operators, for providers without the fused one.

use super::constant::Format;
use super::draft::Draft;
use super::parts::Attention;
use crate::error::ExportError;
use crate::onnx::graph::Attribute;
use crate::onnx::proto::NodeProto;
use crate::quantise::plan::{AttentionPlan, GraphPlan};
use std::collections::{BTreeMap, BTreeSet};

const BY_HEAD: [i64; 4] = [0, 2, 1, 3];
const KEYS_BY_HEAD: [i64; 4] = [0, 2, 3, 1];

impl Draft<'_> {
    fn giver(&self, value: &str) -> Option<&NodeProto> {
        let gives = |node: &&NodeProto| node.output.iter().any(|name| name == value);
        self.nodes.iter().find(gives)
    }

    fn before_reshapes<'v>(&'v self, mut value: &'v str) -> &'v str {
        while let Some(node) = self.giver(value).filter(|node| node.op_type() == "Reshape") {
            let Some(input) = node.input.first() else {
                break;
            };
            value = input;
        }
        value
    }

    fn is_table(&self, value: &str) -> bool {
        let value = self.before_reshapes(value);
        let gather = self.giver(value).filter(|node| node.op_type() == "Gather");
        let table = gather.and_then(|node| node.input.first());
        table.is_some_and(|table| self.constants.contains_key(table))
    }

    /// For queries that are rotated by tables: the two products with a table, each with its table.
    /// The scale of the scores can be put into the tables, which are small and the same for all
    /// layers.
    fn rotation(&self, query: &str) -> Option<[(String, String); 2]> {
        let value = self.before_reshapes(query);
        let sum = self.giver(value).filter(|node| node.op_type() == "Add")?;
        let product = |value: &String| {
            let node = self.giver(value).filter(|node| node.op_type() == "Mul")?;
            let table = node.input.get(1).filter(|table| self.is_table(table))?;
            (self.readers(value) == 1).then(|| (value.clone(), table.clone()))
        };
        match sum.input.as_slice() {
            [a, b] if self.readers(value) == 1 => Some([product(a)?, product(b)?]),
            _ => None,
        }
    }

    /// Replaces every fused attention.
    pub(super) fn plain_attention(
        &mut self,
        plan: &GraphPlan,
        format: Option<Format>,
    ) -> Result<(), ExportError> {
        let attentions = self.model.attentions();
        let mut scaled: BTreeMap<String, (String, f32)> = BTreeMap::new();
        let mut done = BTreeSet::new();
        for attention in &attentions {
            if let Some(products) = self.rotation(&attention.query) {
                done.insert(attention.name.clone());
                scaled.extend(products.map(|(product, table)| (product, (table, attention.scale))));
            }
        }
        let values = self.model.values()?;
        for mut node in std::mem::take(&mut self.nodes) {
            let output = node.output.first().cloned().unwrap_or_default();
            if let Some((table, scale)) = scaled.get(&output) {
                let name = self.scaled_table(table, *scale);
                node.input[1] = name;
            }
            let Some(attention) = attentions.iter().find(|a| a.output == output) else {
                self.nodes.push(node);
                continue;
            };
            let width = values
                .get(&attention.query)
                .and_then(|v| v.shape.last()?.fixed());
            let width = width.filter(|width| width.is_multiple_of(attention.heads.max(1)));
            let width = width.ok_or_else(|| {
                let message = format!("attention {}: heads do not fit", attention.name);
                self.model.wrong(message)
            })?;
            let planned = plan.attentions.get(&attention.name);
            let planned = format.and_then(|format| Some((planned?, format)));
            let scale = (!done.contains(&attention.name)).then_some(attention.scale);
            self.attend(attention, width, scale, planned)?;
        }
        Ok(())
    }

    fn scaled_table(&mut self, table: &str, scale: f32) -> String {
        let name = format!("{table}.scaled.{:08x}", scale.to_bits());
        if self.giver(&name).is_none() {
            let factor = self.push_scalar(&format!("scale.{:08x}", scale.to_bits()), scale);
            self.push("Mul", &[table, &factor], &name, &[]);
        }
        name
    }

    fn attend(
        &mut self,
        attention: &Attention,
        width: usize,
        scale: Option<f32>,
        plan: Option<(&AttentionPlan, Format)>,
    ) -> Result<(), ExportError> {
        let name = |part: &str| format!("{}.{part}", attention.name);
        let heads = attention.heads as i64;
        let split = self.push_ints(&[1, -1, heads, (width / attention.heads) as i64]);
        let mut operands = Vec::new();
        for (part, value, order) in [
            ("query", &attention.query, BY_HEAD),
            ("key", &attention.key, KEYS_BY_HEAD),
            ("value", &attention.value, BY_HEAD),
        ] {
            let apart = format!("{}.split", name(part));
            self.push("Reshape", &[value, &split], &apart, &[]);
            let order = [("perm", Attribute::Ints(&order))];
            operands.push(self.push("Transpose", &[&apart], &name(part), &order));
        }
        let [query, key, value] = &mut operands[..] else {
            return Ok(());
        };
        if let Some(scale) = scale {
            let factor = self.push_scalar(&format!("scale.{:08x}", scale.to_bits()), scale);
            *query = self.push("Mul", &[query, &factor], &name("query.scaled"), &[]);
        }
        let planned = |limits: fn(&AttentionPlan) -> [f32; 2]| {
            let (plan, format) = plan?;
            let limits = limits(plan);
            (limits != [0.0; 2]).then_some((limits, format))
        };
        if let Some(([limit, other], format)) = planned(|p| [p.query_limit, p.key_limit]) {
            *query = self.coarse(query, limit * attention.scale, format)?;
            *key = self.coarse(key, other, format)?;
        }
        let scores = self.push("MatMul", &[query, key], &attention.scores(), &[]);
        let last = [("axis", Attribute::Int(-1))];
        let mut share = self.push("Softmax", &[&scores], &attention.share(), &last);
        if let Some(([limit, other], format)) = planned(|p| [p.share_limit, p.value_limit]) {
            share = self.coarse(&share, limit, format)?;
            *value = self.coarse(value, other, format)?;
        }
        let mixed = self.push("MatMul", &[&share, value], &name("mixed.by_head"), &[]);
        let order = [("perm", Attribute::Ints(&BY_HEAD))];
        let mixed = self.push("Transpose", &[&mixed], &name("mixed.by_token"), &order);
        let joined = self.push_ints(&[1, -1, width as i64]);
        self.push("Reshape", &[&mixed, &joined], &attention.output, &[]);
        Ok(())
    }
}
