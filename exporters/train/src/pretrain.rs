//! Pretraining: steps, checkpoints, a log, and a watch for collapse.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use echocart_phantom::Random;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::augment::{Crop, cut, shares};
use crate::cache::Clips;
use crate::collapse::{Spread, spread};
use crate::equal::{Covariance, moments};
use crate::jepa::{Against, Example, Jepa, follow, masks, window};
use crate::net::attention::Tokens;
use crate::net::params::Layout;
use crate::net::vit::{PATCH, Vit, patches};
use crate::optimiser::{AdamW, rate};
use crate::perturb::Disturbance;
use crate::settings::{Settings, check, pool, read_settings};
use crate::store::{Stored, Tensor, Width, tensors, write};
use crate::supervised::{Labelled, Losses, Objective, Supervised, Weights};
use crate::{TrainError, encoder_file, parallel, plot, probing, progress, render, whiten};

const CHECKPOINT: &str = "checkpoint.safetensors";
const LOG: &str = "log.jsonl";
const STEP: &str = "progress.step";
const CENTRE: &str = "progress.centre";
const COVARIANCE: &str = "progress.covariance";
/// Share of a batch in the centre.
const PULL: f32 = 0.1;
const STUDENT: &str = "student.";
const TEACHER: &str = "teacher.";
const MOMENTS: [&str; 2] = ["first.", "second."];

/// Clips on which collapse is watched, and how many places of each.
const WATCHED: (usize, usize) = (96, 8);

/// One line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Steps done.
    pub step: usize,
    /// Mean loss since the line before.
    pub loss: f32,
    /// What a supervised training's is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<Losses>,
    /// Learning rate.
    pub rate: f32,
    /// How far the features of what is kept tell clips apart.
    pub kept: Spread,
    /// Seconds since this run started.
    pub seconds: f64,
}

/// What is trained.
enum Network {
    Jepa(Box<Jepa<f32>>),
    Supervised(Box<Supervised<f32>>),
}

/// A training that can go on.
struct Run<'a> {
    settings: Settings,
    folder: &'a Path,
    network: Network,
    encoder: Vit<f32>,
    /// Values of the encoder.
    encoder_len: usize,
    /// Clips that are trained on.
    pool: Vec<usize>,
    student: Vec<f32>,
    teacher: Vec<f32>,
    adam: AdamW,
    /// Mean features of the teacher at every place.
    centre: Vec<f32>,
    /// Of the teacher's features, where directions are made equal.
    covariance: Option<Covariance>,
    step: usize,
}

/// Trains until `settings.steps`, from the encoder in the folder `parent` if there is one, going on from a checkpoint in
/// `folder`. False if it was stopped.
///
/// # Errors
/// [`TrainError`] for files, for a checkpoint of other settings, and for a loss that is no number.
pub fn pretrain(
    mut settings: Settings,
    parent: Option<&Path>,
    (clips, folder): (&Clips, &Path),
    (every, threads): (usize, usize),
    stop: &AtomicBool,
) -> Result<bool, TrainError> {
    check(&settings, clips)?;
    fs::create_dir_all(folder).map_err(TrainError::file(folder))?;
    let parent = parent.map(|folder| folder.join(encoder_file::NAME));
    settings.parent = parent.as_deref().map(sha256).transpose()?;
    let (steps, mut run) = (settings.steps, Run::open(settings, clips, folder)?);
    if let Some(path) = parent.filter(|_| run.step == 0) {
        run.start_from(&path)?;
    }
    let (started, first) = (Instant::now(), run.step);
    let (mut sum, mut parts, mut count) = (0.0, None, 0.0);
    while run.step < steps {
        let (loss, of) = run.advance(clips, threads)?;
        (sum, parts, count) = (sum + loss, added(parts, of), count + 1.0);
        let stopped = stop.load(Ordering::Relaxed);
        if run.step.is_multiple_of(every) || run.step == steps || stopped {
            let entry = Entry {
                step: run.step,
                loss: sum / count,
                losses: parts.map(|sums: [f32; 3]| Losses::from(sums.map(|sum| sum / count))),
                rate: run.rate(),
                kept: run.watch(clips, threads),
                seconds: started.elapsed().as_secs_f64(),
            };
            (sum, parts, count) = (0.0, None, 0.0);
            run.save(&entry)?;
            let left = progress::left(run.step - first, steps - run.step, started.elapsed());
            eprintln!(
                "training: step {} of {}, loss {:.4}, deviation {:.3}, effective rank {:.1}, {left} left",
                entry.step, steps, entry.loss, entry.kept.deviation, entry.kept.effective_rank
            );
        }
        if stopped {
            return Ok(false);
        }
    }
    Ok(true)
}

fn added(sums: Option<[f32; 3]>, more: Option<[f32; 3]>) -> Option<[f32; 3]> {
    let (sums, more) = (sums.unwrap_or_default(), more?);
    Some(std::array::from_fn(|at| sums[at] + more[at]))
}

fn sha256(path: &Path) -> Result<String, TrainError> {
    let bytes = fs::read(path).map_err(TrainError::file(path))?;
    let hash = Sha256::digest(bytes);
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The patch embedding keeps what it starts with. The pixels of a tubelet are alike, so that one step of Adam, which
/// moves all their weights by the same amount, turns every channel into brightness.
pub fn frozen(layout: &Layout) -> impl Iterator<Item = Range<usize>> + '_ {
    let entries = layout.entries().iter();
    let embedding = entries.filter(|entry| entry.name.starts_with("patch_embed."));
    embedding.map(|entry| entry.range.clone())
}

/// The values of an encoder that a training starts from.
pub fn start(layout: &Layout, settings: &Settings, clips: &Clips) -> Vec<f32> {
    let mut values = layout.draw(settings.seed);
    let clips: Vec<&[u8]> = (0..clips.len()).map(|at| clips.pixels(at)).collect();
    whiten::start(layout, &mut values, settings.encoder, &clips, settings.seed);
    values
}

impl Network {
    fn layout(&self) -> &Layout {
        match self {
            Self::Jepa(jepa) => &jepa.layout,
            Self::Supervised(supervised) => &supervised.layout,
        }
    }
}

impl<'a> Run<'a> {
    fn open(settings: Settings, clips: &Clips, folder: &'a Path) -> Result<Self, TrainError> {
        let mut encoder_layout = Layout::default();
        let encoder = Vit::new(&mut encoder_layout, settings.encoder);
        let encoder_len = encoder_layout.len();
        let network = match settings.objective {
            Objective::Jepa => {
                let jepa = Jepa::new(settings.encoder, settings.predictor);
                Network::Jepa(Box::new(jepa))
            }
            Objective::Supervised => {
                let supervised = Supervised::new(
                    settings.encoder,
                    settings.probe_heads,
                    Weights {
                        ejection: f64::from(settings.ejection),
                        chambers: f64::from(settings.chambers),
                    },
                );
                Network::Supervised(Box::new(supervised))
            }
        };
        let student = start(network.layout(), &settings, clips);
        let mut decaying = network.layout().decaying();
        for range in frozen(network.layout()) {
            decaying[range].fill(false);
        }
        let text = serde_json::to_string_pretty(&settings).unwrap_or_default();
        let mut run = Self {
            folder,
            teacher: student[..encoder_len].to_vec(),
            adam: AdamW::new(decaying, settings.decay),
            pool: pool(&settings, clips),
            network,
            encoder,
            encoder_len,
            student,
            centre: vec![0.0; settings.encoder.tokens() * settings.encoder.dim],
            covariance: (settings.equal_from > 0.0).then(|| Covariance::new(settings.encoder.dim)),
            step: 0,
            settings,
        };
        let settings_path = folder.join("settings.json");
        let path = folder.join(CHECKPOINT);
        if !path.exists() {
            fs::write(&settings_path, text).map_err(TrainError::file(&settings_path))?;
            run.centre(clips);
            return Ok(run);
        }
        let before = read_settings(folder)?;
        if before != run.settings {
            return Err(TrainError::Content {
                what: "settings",
                expected: "those that the training began with".to_owned(),
                found: text.replace('\n', " "),
                path: settings_path,
            });
        }
        let stored = Stored::open(&path)?;
        let count = run.student.len();
        let layout = run.network.layout();
        run.student = stored.layout(layout, STUDENT, count)?;
        run.teacher = stored.layout(layout, TEACHER, run.encoder_len)?;
        run.adam.first = stored.layout(layout, MOMENTS[0], count)?;
        run.adam.second = stored.layout(layout, MOMENTS[1], count)?;
        run.centre = stored.values(CENTRE, run.centre.len())?;
        if let Some(covariance) = &mut run.covariance {
            covariance.values = stored.values(COVARIANCE, covariance.values.len())?;
        }
        run.step = stored
            .values(STEP, 1)?
            .first()
            .map_or(0, |step| *step as usize);
        Ok(run)
    }

    /// Takes the encoder of another training.
    fn start_from(&mut self, path: &Path) -> Result<(), TrainError> {
        let values = encoder_file::read(path, self.network.layout(), self.encoder_len)?;
        self.student[..self.encoder_len].copy_from_slice(&values);
        self.teacher.copy_from_slice(&values);
        Ok(())
    }

    /// Sets the centre and the covariance to those of the watched clips.
    fn centre(&mut self, clips: &Clips) {
        let dim = self.settings.encoder.dim;
        let watched = 0..WATCHED.0.min(clips.len());
        let features =
            watched.map(|clip| features(&self.encoder, &self.teacher, clips.pixels(clip)));
        let features: Vec<Vec<f32>> = features.collect();
        for clip in &features {
            for (mean, value) in self.centre.iter_mut().zip(clip) {
                *mean += value / features.len() as f32;
            }
        }
        let Some(covariance) = &mut self.covariance else {
            return;
        };
        let mut sums = vec![0.0; dim * dim];
        let tokens = features.len() * self.settings.encoder.tokens();
        for mut clip in features {
            for (value, mean) in clip.iter_mut().zip(&self.centre) {
                *value -= mean;
            }
            moments(&clip, dim, &mut sums);
        }
        covariance.take(&sums, tokens as f32);
    }

    fn rate(&self) -> f32 {
        let Settings {
            rate: peak,
            warmup,
            steps,
            ..
        } = self.settings;
        rate(peak, self.step, warmup, steps)
    }

    /// A step: its loss, and what that is made of.
    fn advance(
        &mut self,
        clips: &Clips,
        threads: usize,
    ) -> Result<(f32, Option<[f32; 3]>), TrainError> {
        let Settings {
            batch,
            steps,
            seed,
            least_area,
            momentum,
            ..
        } = self.settings;
        let per_epoch = self.pool.len() / batch;
        let (epoch, place) = (self.step / per_epoch, self.step % per_epoch);
        let order = render::shuffled(self.pool.len(), seed, epoch as u64);
        let mut random = Random::new(seed, 0x1_0000 + self.step as u64);
        let picked: Vec<(usize, Crop)> = order[place * batch..(place + 1) * batch]
            .iter()
            .map(|&at| (self.pool[at], Crop::draw(least_area, &mut random)))
            .collect();
        let (loss, mut grads, losses) = self.gradients(clips, &picked, &mut random, threads);
        for range in frozen(self.network.layout()) {
            grads[range].fill(0.0);
        }
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                loss,
                step: self.step,
            });
        }
        let rate = self.rate();
        self.step += 1;
        self.adam.step(&mut self.student, &grads, rate, self.step);
        let share = self.step as f32 / steps as f32;
        let momentum = momentum[0] + (momentum[1] - momentum[0]) * share;
        follow(
            &mut self.teacher,
            &self.student[..self.encoder_len],
            momentum,
        );
        Ok((loss, losses))
    }

    fn gradients(
        &mut self,
        clips: &Clips,
        picked: &[(usize, Crop)],
        random: &mut Random,
        threads: usize,
    ) -> (f32, Vec<f32>, Option<[f32; 3]>) {
        let size = self.settings.encoder;
        let share = self.settings.disturbed;
        let picked: Vec<_> = picked
            .iter()
            .map(|&(clip, crop)| (clip, crop, Disturbance::draw(share, random)))
            .collect();
        let tubelets = |&(clip, crop, disturbance): &(usize, Crop, Option<(Disturbance, u64)>)| {
            let pixels = clips.pixels(clip);
            let disturbed = disturbance.map(|(disturbance, seed)| disturbance.apply(pixels, seed));
            let pixels = disturbed.as_deref().unwrap_or(pixels);
            patches(&cut(pixels, crop, size.side_px), size.side_px)
        };
        let patches: Vec<Vec<f32>> = parallel::map(&picked, threads, |one| tubelets(one));
        let [depth, ..] = size.grid();
        let tubelets = match self.step < self.settings.short_steps {
            true => depth / 2,
            false => depth,
        };
        match &self.network {
            Network::Jepa(jepa) => {
                let masks = masks(size.grid(), picked.len(), random);
                let pairs = patches.into_iter().zip(masks);
                let examples: Vec<_> = pairs
                    .map(|(patches, masks)| Example {
                        patches,
                        masks,
                        window: window(size.grid(), tubelets, random),
                    })
                    .collect();
                let covariance = self.covariance.as_ref();
                let equaliser = covariance.map(|all| all.equaliser(self.settings.equal_from));
                let against = Against {
                    teacher: &self.teacher,
                    centre: &self.centre,
                    equaliser: equaliser.as_deref(),
                };
                let (loss, grads, means) = jepa.batch(&self.student, against, &examples, threads);
                means.pull(&mut self.centre, PULL);
                if let Some(covariance) = &mut self.covariance {
                    covariance.take(&means.moments, means.count);
                }
                (loss, grads, None)
            }
            Network::Supervised(supervised) => {
                let pairs = patches.into_iter().zip(&picked);
                let examples: Vec<_> = pairs
                    .map(|(patches, (clip, crop, _))| Labelled {
                        patches,
                        window: window(size.grid(), tubelets, random),
                        chambers: match self.settings.chambers > 0.0 {
                            true => shares(clips.chambers(*clip), *crop, size.side_px),
                            false => Vec::new(),
                        },
                        view: probing::class(&clips.labels[*clip]),
                        ejection: probing::ejection_target(&clips.labels[*clip]),
                    })
                    .collect();
                let (loss, grads, losses) = supervised.batch(&self.student, &examples, threads);
                (loss, grads, Some(losses))
            }
        }
    }

    /// What is written as the encoder.
    fn kept(&self) -> &[f32] {
        match self.settings.keep_student {
            true => &self.student[..self.encoder_len],
            false => &self.teacher,
        }
    }

    fn watch(&self, clips: &Clips, threads: usize) -> Spread {
        let size = self.settings.encoder;
        let watched: Vec<usize> = (0..WATCHED.0.min(clips.len())).collect();
        let stride = size.tokens() / WATCHED.1;
        let rows = parallel::map(watched, threads, |&clip| {
            let features = features(&self.encoder, self.kept(), clips.pixels(clip));
            let tokens = features
                .chunks_exact(size.dim)
                .step_by(stride)
                .take(WATCHED.1);
            tokens.flatten().copied().collect::<Vec<f32>>()
        });
        spread(&rows.concat(), size.dim, WATCHED.1)
    }

    fn save(&self, entry: &Entry) -> Result<(), TrainError> {
        let layout = self.network.layout();
        let mut all = tensors(layout, &self.student, STUDENT);
        all.extend(tensors(layout, &self.teacher, TEACHER));
        all.extend(tensors(layout, &self.adam.first, MOMENTS[0]));
        all.extend(tensors(layout, &self.adam.second, MOMENTS[1]));
        all.push(Tensor {
            name: CENTRE.to_owned(),
            shape: vec![self.centre.len()],
            values: self.centre.clone(),
        });
        if let Some(covariance) = &self.covariance {
            all.push(Tensor {
                name: COVARIANCE.to_owned(),
                shape: vec![covariance.values.len()],
                values: covariance.values.clone(),
            });
        }
        all.push(Tensor {
            name: STEP.to_owned(),
            shape: vec![1],
            values: vec![self.step as f32],
        });
        let log = self.folder.join(LOG);
        let mut text = serde_json::to_string(entry).unwrap_or_default();
        text.push('\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(TrainError::file(&log))?;
        encoder_file::write(
            &self.folder.join(encoder_file::NAME),
            &self.encoder,
            layout,
            self.kept(),
        )?;
        plot::training(&log, &self.folder.join("training.svg"))?;
        write(&self.folder.join(CHECKPOINT), &all, Width::Full)
    }
}

/// The features of a whole clip.
///
/// # Shapes
/// - `pixels`: `[16, 128, 128]`; the result `[tokens, dim]`.
pub fn features(encoder: &Vit<f32>, values: &[f32], pixels: &[u8]) -> Vec<f32> {
    let size = encoder.size;
    let clip = cut(pixels, Crop::centre(size.side_px), size.side_px);
    let rows: Vec<f32> = patches(&clip, size.side_px);
    let tokens = Tokens::all(rows.len() / PATCH);
    encoder.infer(values, &rows, &tokens)
}
