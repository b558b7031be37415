//! Names of expected outputs: which head on which clips, or which tokens.
//!
//! `tokens_clip0`, `tokens_kept_clip0`; `HEAD_z_...` for a value and `HEAD_logits_...` for classes,
//! then `kept_` where only the kept tokens are meant, then the clips: `2clip`, `4slot`,
//! `view0_only`, `view1_missing`, `slot3_only`, `slot3_missing`, `slots_0_1_3`.

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// As it is in the file.
    pub(super) name: String,
    /// Whether only the kept tokens enter the encoder.
    pub(super) kept: bool,
    /// Of what.
    pub(super) of: Of,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    /// The encoder's tokens of a clip.
    Tokens(usize),
    /// A head's values.
    Head {
        /// Name of the head, also of its probe file and of its group of generated weights.
        head: String,
        /// Whether it gives one value and no classes.
        regression: bool,
        /// On which clips.
        clips: Selection,
    },
}

/// Clips by number, as a name says it. Slot n of a multi-view probe takes clip n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// The first n clips.
    First(usize),
    /// All n slots.
    All(usize),
    /// The slots of one view.
    View(usize),
    /// All slots but those of one view.
    WithoutView(usize),
    /// One slot.
    Slot(usize),
    /// All slots but one.
    WithoutSlot(usize),
    /// These slots.
    Slots(Vec<usize>),
}

fn number(text: &str, before: &str, after: &str) -> Option<usize> {
    let digits = text.strip_prefix(before)?.strip_suffix(after)?;
    let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

impl Selection {
    fn parse(words: &[&str]) -> Option<Self> {
        let view = |word| number(word, "view", "");
        let slot = |word| number(word, "slot", "");
        match *words {
            [word] => number(word, "", "clip")
                .map(Self::First)
                .or_else(|| number(word, "", "slot").map(Self::All)),
            [word, "only"] => view(word)
                .map(Self::View)
                .or_else(|| slot(word).map(Self::Slot)),
            [word, "missing"] | ["without", word] => view(word)
                .map(Self::WithoutView)
                .or_else(|| slot(word).map(Self::WithoutSlot)),
            ["slots", ref slots @ ..] => {
                let slots: Option<Vec<usize>> = slots.iter().map(|s| number(s, "", "")).collect();
                slots.map(Self::Slots)
            }
            _ => None,
        }
    }

    /// True if it can only be said of a probe with slots.
    pub(super) fn needs_slots(&self) -> bool {
        !matches!(self, Self::First(_))
    }

    /// The clips, ascending, of a multi-view probe with `views` of `clips_per_view`; none for what
    /// such a probe does not have.
    pub(super) fn slots(&self, views: usize, clips_per_view: usize) -> Option<Vec<usize>> {
        let count = views * clips_per_view;
        let keep = |keep: &dyn Fn(usize) -> bool| (0..count).filter(|&s| keep(s)).collect();
        let slots: Vec<usize> = match *self {
            Self::First(n) if n <= count => (0..n).collect(),
            Self::All(n) if n == count => (0..n).collect(),
            Self::View(v) if v < views => keep(&|s| s / clips_per_view == v),
            Self::WithoutView(v) if v < views => keep(&|s| s / clips_per_view != v),
            Self::Slot(only) if only < count => vec![only],
            Self::WithoutSlot(gone) if gone < count => keep(&|s| s != gone),
            Self::Slots(ref slots) if slots.iter().all(|&s| s < count) => slots.clone(),
            _ => return None,
        };
        let ascending = slots.windows(2).all(|pair| pair[0] < pair[1]);
        (ascending && !slots.is_empty()).then_some(slots)
    }
}

impl Output {
    /// Reads a name; none for one that says nothing this version knows.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut words: Vec<&str> = name.split('_').collect();
        let kept = words.iter().position(|&word| word == "kept");
        if let Some(at) = kept {
            words.remove(at);
        }
        let of = if let ["tokens", clip] = words[..] {
            Of::Tokens(number(clip, "clip", "")?)
        } else {
            let at = words
                .iter()
                .position(|word| matches!(*word, "z" | "logits"))?;
            let head = words[..at].join("_");
            if head.is_empty() {
                return None;
            }
            Of::Head {
                head,
                regression: words[at] == "z",
                clips: Selection::parse(&words[at + 1..])?,
            }
        };
        Some(Self {
            name: name.to_owned(),
            kept: kept.is_some(),
            of,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(name: &str, views: usize, clips_per_view: usize) -> Option<Vec<usize>> {
        match Output::parse(name)?.of {
            Of::Head { clips, .. } => clips.slots(views, clips_per_view),
            Of::Tokens(_) => None,
        }
    }

    #[test]
    fn names_say_which_clips() {
        let output = Output::parse("tokens_kept_clip3").unwrap();
        assert_eq!((output.kept, output.of), (true, Of::Tokens(3)));
        let output = Output::parse("view_logits_kept_2clip").unwrap();
        let of = Of::Head {
            head: "view".to_owned(),
            regression: false,
            clips: Selection::First(2),
        };
        assert_eq!((output.kept, output.of), (true, of));
        for (name, expected) in [
            ("rvsp_z_4slot", Some(vec![0, 1, 2, 3])),
            ("rvsp_z_view0_only", Some(vec![0, 1])),
            ("rvsp_z_view1_only", Some(vec![2, 3])),
            ("rvsp_z_view0_missing", Some(vec![2, 3])),
            ("rvsp_z_without_view1", Some(vec![0, 1])),
            ("rvsp_z_slot2_only", Some(vec![2])),
            ("rvsp_z_slot2_missing", Some(vec![0, 1, 3])),
            ("rvsp_z_slots_0_1_3", Some(vec![0, 1, 3])),
            ("rvsp_z_kept_4slot", Some(vec![0, 1, 2, 3])),
            ("rvsp_z_1clip", Some(vec![0])),
            ("rvsp_z_2slot", None),
            ("rvsp_z_view2_only", None),
            ("rvsp_z_slots_1_0", None),
            ("rvsp_z_slots", None),
        ] {
            assert_eq!(slots(name, 2, 2), expected, "{name}");
        }
        assert_eq!(slots("rvsp_z_view1_only", 3, 1), Some(vec![1]));
        assert_eq!(slots("rvsp_z_view0_missing", 1, 2), None);
    }

    #[test]
    fn other_names_mean_nothing() {
        for name in [
            "",
            "keep",
            "tokens",
            "tokens_clip",
            "tokens_clipx",
            "z_1clip",
            "rvsp_z",
        ] {
            assert_eq!(Output::parse(name), None, "{name}");
        }
        for name in ["view_logits_clip1", "view_logits_+1clip", "a_z_99999clip"] {
            assert_eq!(Output::parse(name), None, "{name}");
        }
    }
}
