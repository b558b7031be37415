//! Calibration clips in folds: whole files, so that a choice can be tried on files that it was not
//! made from.

use super::clip::Clip;

/// Folds of more files hold several of them.
const MOST_FOLDS: usize = 4;

/// Which fold each clip belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folds {
    of_clip: Vec<usize>,
    count: usize,
    /// Clips that plans may be tried on: the first ones.
    given: usize,
}

impl Folds {
    /// By file; clips of a single file in stretches of it.
    pub fn of(clips: &[Clip]) -> Self {
        let mut files: Vec<&str> = Vec::new();
        for clip in clips {
            if !files.contains(&clip.origin.sha256.as_str()) {
                files.push(&clip.origin.sha256);
            }
        }
        let places = clips
            .iter()
            .enumerate()
            .map(|(at, clip)| match files.len() {
                0 | 1 => at,
                _ => files
                    .iter()
                    .position(|f| *f == clip.origin.sha256)
                    .unwrap_or(0),
            });
        let groups = if files.len() > 1 {
            files.len()
        } else {
            clips.len()
        };
        Self::spread(places.collect(), groups)
    }

    fn spread(places: Vec<usize>, groups: usize) -> Self {
        let count = groups.clamp(1, MOST_FOLDS);
        let fold = |place: usize| place * count / groups.max(1);
        let of_clip: Vec<usize> = places.into_iter().map(fold).collect();
        Self {
            given: of_clip.len(),
            of_clip,
            count,
        }
    }

    /// With clips after the others that only widen what is seen: one to each fold in turn.
    pub fn with(mut self, golden: usize) -> Self {
        self.of_clip.extend((0..golden).map(|at| at % self.count));
        self
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The fold of a clip.
    pub fn fold(&self, clip: usize) -> usize {
        self.of_clip.get(clip).copied().unwrap_or(0)
    }

    /// The clip that each fold is tried on: the one in its middle.
    pub fn tried(&self) -> Vec<usize> {
        let clips = |fold: usize| -> Vec<usize> {
            let all = 0..self.given;
            all.filter(|&clip| self.fold(clip) == fold).collect()
        };
        let middle = |fold: usize| {
            let own = clips(fold);
            own.get(own.len() / 2).copied()
        };
        (0..self.count).filter_map(middle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantise::Origin;

    fn clip(file: &str) -> Clip {
        Clip {
            origin: Origin {
                file: file.to_owned(),
                sha256: file.to_owned(),
                first_frame: 0,
                last_frame: 0,
            },
            tubelets: Vec::new(),
        }
    }

    #[test]
    fn a_file_is_never_split_unless_it_is_the_only_one() {
        let two = Folds::of(&["a", "a", "b", "b", "b"].map(clip));
        assert_eq!((two.count(), two.tried()), (2, vec![1, 3]));
        let many = Folds::of(&["a", "b", "c", "d", "e", "a"].map(clip));
        assert_eq!(many.count(), 4);
        assert_eq!(many.fold(0), many.fold(5));
        let one = Folds::of(&["a"; 8].map(clip));
        assert_eq!((one.count(), one.fold(1), one.fold(7)), (4, 0, 3));
        assert_eq!(Folds::of(&[clip("a")]).count(), 1);
        let golden = two.clone().with(3);
        assert_eq!(golden.tried(), two.tried());
        assert_eq!([5, 6, 7].map(|at| golden.fold(at)), [0, 1, 0]);
    }
}
