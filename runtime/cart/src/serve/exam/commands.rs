//! What readers ask for.

use super::clips::CAPTURES;
use super::watch::Seen;
use super::wire::{
    By, Capture, Command, Decision, Export, How, Label, OwnEf, Recording, Refused, STANDARD_VIEWS,
    STATEMENT, Switch,
};
use super::{Desk, Inner, nothing, undecided, unix_millis};
use echocart_core::events::{Output, Status};

/// Length of a clip where nothing says which images belong to it.
const PLAIN_NANOS: i64 = 2_000_000_000;

impl Desk {
    /// Follows a command.
    ///
    /// # Errors
    /// Why not; nothing has then changed.
    pub fn command(&self, command: &Command) -> Result<(), Refused> {
        let mut inner = self.lock();
        inner.command(command)?;
        if *command == Command::NewPatient {
            self.ticket.next();
        }
        Ok(())
    }

    /// Saves what the flight recorder holds, where there is one, for the newest best clip without
    /// a recording; true when the exam has changed with it. Writes a file.
    pub(super) fn record_best(&self) -> bool {
        let Some(recorder) = self.recorder.get() else {
            return false;
        };
        let waits = |c: &Capture| c.how == How::Best && c.recording.is_none();
        let newest = |inner: &Inner| {
            inner
                .exam
                .captures
                .last()
                .filter(|c| waits(c))
                .map(|c| c.id)
        };
        let Some(id) = newest(&self.lock()) else {
            return false;
        };
        let saved = recorder.save_in_folder();
        let recording = match saved {
            Ok((path, _)) => {
                let name = path.file_name().unwrap_or_default();
                Recording::File(name.to_string_lossy().into_owned())
            }
            Err(error) => Recording::Failed(error.to_string()),
        };
        let mut inner = self.lock();
        if let Ok(capture) = inner.find(id) {
            capture.recording = Some(recording);
            inner.changed();
        }
        true
    }

    /// The images of a capture.
    pub(super) fn images(&self, id: u64) -> Option<Vec<super::Image>> {
        self.lock().kept.get(id).map(<[super::Image]>::to_vec)
    }

    /// Accepted captures.
    pub(super) fn export(&self) -> Export {
        let inner = self.lock();
        let mut captures: Vec<Capture> = inner.exam.captures.clone();
        captures.retain(|c| c.clip_decision == Decision::Accepted);
        let has = |view: &&&str| captures.iter().any(|c| c.view.as_deref() == Some(**view));
        let missing = STANDARD_VIEWS.iter().filter(|v| !has(v));
        let missing_views = missing.map(|v| (*v).to_owned()).collect();
        for capture in &mut captures {
            if capture.lvef.status == Status::Demonstration {
                capture.lvef = Output::quiet(Status::Demonstration);
                capture.clip = None;
            }
        }
        Export {
            format: "echocart-exam-1".to_owned(),
            statement: STATEMENT.to_owned(),
            made_unix_millis: unix_millis(),
            began_unix_millis: inner.exam.began_unix_millis,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            missing_views,
            captures,
        }
    }
}

impl Inner {
    fn command(&mut self, command: &Command) -> Result<(), Refused> {
        let answers = matches!(
            command,
            Command::NewPatient | Command::SamePatient | Command::Switch { .. }
        );
        if self.exam.asking.is_some() && !answers {
            return Err(Refused::AnswerFirst);
        }
        match command {
            Command::Capture if self.exam.frozen.is_some() => return Err(Refused::Frozen),
            Command::Best if self.exam.frozen.is_some() => return Err(Refused::Frozen),
            Command::Capture => return self.capture(How::Capture, None).map(|_| ()),
            Command::Best => return self.best(),
            Command::Freeze if self.exam.frozen.is_some() => {}
            Command::Freeze => {
                let id = self.capture(How::Freeze, None)?;
                self.exam.frozen = Some(id);
                self.exam.hold = None;
            }
            Command::Resume => {
                self.exam.frozen = None;
                self.watch.rearm();
            }
            Command::NewPatient => {
                self.new_patient();
                return Ok(());
            }
            Command::SamePatient => {
                self.exam.asking = None;
                self.sure_nanos = (self.clock)();
            }
            Command::Accept { id } => {
                let capture = self.find(*id)?;
                capture.clip_decision = Decision::Accepted;
                if undecided(capture) == Decision::Pending {
                    capture.ef_decision = Decision::Accepted;
                    capture.ef_reason = None;
                }
                capture.ai_shown = true;
                self.name_view(*id);
            }
            Command::RejectEf { id, reason } => {
                let capture = self.find(*id)?;
                capture.clip_decision = Decision::Accepted;
                capture.ef_decision = Decision::Rejected;
                capture.ef_reason = Some(*reason);
                capture.ai_shown = true;
                self.name_view(*id);
            }
            Command::Delete { id } => {
                self.erase(*id)?;
            }
            Command::Retake { id } => {
                let view = self.find(*id)?.view.clone();
                self.erase(*id)?;
                self.exam.target = view;
                self.watch.rearm();
            }
            Command::Assign { id, view } => {
                known(view)?;
                let capture = self.find(*id)?;
                capture.view = Some(view.clone());
                capture.view_by = Some(By::Operator);
            }
            Command::Target { view } => {
                if let Some(view) = view {
                    known(view)?;
                }
                self.exam.target.clone_from(view);
            }
            Command::OwnEf { id, percent } => {
                if !(1..=99).contains(percent) {
                    return Err(Refused::OutOfRange);
                }
                let capture = self.find(*id)?;
                let before_ai = !capture.ai_shown
                    || capture
                        .own_ef
                        .is_some_and(|o| o.before_ai && o.percent == *percent);
                capture.own_ef = Some(OwnEf {
                    percent: *percent,
                    before_ai,
                });
                capture.ai_shown = true;
            }
            Command::Reveal { id } => self.find(*id)?.ai_shown = true,
            Command::Switch { name, on } => self.switch(*name, *on),
        }
        self.changed();
        Ok(())
    }

    fn switch(&mut self, name: Switch, on: bool) {
        match name {
            Switch::Guidance => self.exam.guidance = on,
            Switch::Measurement => self.exam.measurement = on,
            Switch::OwnFirst => {
                self.exam.own_first = on;
                if !on {
                    self.exam
                        .captures
                        .iter_mut()
                        .for_each(|c| c.ai_shown = true);
                }
            }
        }
        self.exam.hold = None;
        self.watch.rearm();
    }

    fn find(&mut self, id: u64) -> Result<&mut Capture, Refused> {
        let mut captures = self.exam.captures.iter_mut();
        captures.find(|c| c.id == id).ok_or(Refused::NoSuchCapture)
    }

    /// An accepted view is the user's.
    fn name_view(&mut self, id: u64) {
        if let Ok(capture) = self.find(id)
            && capture.view.is_some()
        {
            capture.view_by = Some(By::Operator);
        }
    }

    fn erase(&mut self, id: u64) -> Result<(), Refused> {
        self.find(id)?;
        self.exam.captures.retain(|c| c.id != id);
        self.kept.erase(id);
        if self.exam.frozen == Some(id) {
            self.exam.frozen = None;
        }
        Ok(())
    }

    fn best(&mut self) -> Result<(), Refused> {
        let target = self.exam.target.clone();
        let automatic = target.as_deref().filter(|t| self.watch.is_automatic(t));
        let recent = &self.recent;
        let best = self.watch.best(automatic, |first| recent.reaches(first));
        let best = best.cloned().ok_or(Refused::NoBest)?;
        self.capture(How::Best, Some(best)).map(|_| ())
    }

    /// Keeps a clip: `chosen`, or the newest.
    pub(super) fn capture(&mut self, how: How, chosen: Option<Seen>) -> Result<u64, Refused> {
        if self.exam.captures.len() >= CAPTURES {
            return Err(Refused::Full);
        }
        let now = (self.clock)();
        let newest_image = self.recent.newest_nanos().ok_or(Refused::NoImage)?;
        let seen = match &chosen {
            Some(seen) => Some(seen.clone()),
            None => self.watch.newest(now).cloned(),
        };
        let heart = match &chosen {
            Some(seen) => seen.heart,
            None => self.watch.heart(now),
        };
        let lvef = match &chosen {
            Some(seen) => seen.lvef.clone(),
            None => self.watch.lvef(now),
        };
        let lvef = lvef.filter(|_| self.exam.measurement);
        let span = lvef
            .as_ref()
            .filter(|(_, o, _)| o.has_value())
            .and_then(|(_, o, _)| {
                let segments = &o.evidence.segments;
                let first = segments.iter().map(|s| s.first_capture_nanos).min()?;
                let last = segments.iter().map(|s| s.last_capture_nanos).max()?;
                Some((first, last))
            });
        let (first, last) = span
            .or_else(|| seen.as_ref().map(Seen::span))
            .unwrap_or((newest_image - PLAIN_NANOS, newest_image));
        let images = self.recent.between(first, last);
        let last_image = images.last().ok_or(Refused::NoImage)?.capture_nanos;
        let first_image = images.first().map_or(last_image, |i| i.capture_nanos);
        let id = self.next_id;
        let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        if !self.kept.keep(id, images) {
            return Err(Refused::Full);
        }
        self.next_id += 1;
        let ago_millis = now.saturating_sub(last_image).max(0) / 1_000_000;
        let (view, view_by) = self.view_of(seen.as_ref());
        let (clip, lvef, package) = match lvef {
            Some((clip, output, package)) => (Some(clip), output, package),
            None if !self.exam.measurement => (None, Output::quiet(Status::Off), String::new()),
            None => (None, nothing(), String::new()),
        };
        let package = match (&seen, package.is_empty()) {
            (Some(seen), true) => seen.package.clone(),
            _ => package,
        };
        let mut capture = Capture {
            id,
            at_unix_millis: unix_millis().saturating_sub(ago_millis.unsigned_abs()),
            how,
            view,
            view_by,
            label: seen.map(|s| Label {
                label: s.label,
                probability: s.probability,
            }),
            clip,
            lvef,
            heart_rate_bpm: heart.map(|h| h.bpm),
            beats: heart.map(|h| whole_beats(last_image - first_image, h.bpm)),
            own_ef: None,
            ai_shown: !self.exam.own_first,
            package,
            images: count,
            millis: (last_image - first_image).unsigned_abs() / 1_000_000,
            recording: None,
            clip_decision: Decision::Pending,
            ef_decision: Decision::None,
            ef_reason: None,
        };
        capture.ef_decision = undecided(&capture);
        self.exam.captures.push(capture);
        self.exam.target = None;
        self.changed();
        Ok(id)
    }

    /// The user's target names a clip's view, or else the model does.
    fn view_of(&self, seen: Option<&Seen>) -> (Option<String>, Option<By>) {
        if let Some(target) = &self.exam.target {
            return (Some(target.clone()), Some(By::Operator));
        }
        let named = seen.filter(|_| self.exam.guidance).and_then(|s| {
            let by = match s.demonstration {
                true => By::Demonstration,
                false => By::Model,
            };
            Some((s.standard.clone()?, by))
        });
        named.map_or((None, None), |(view, by)| (Some(view), Some(by)))
    }
}

/// Beats that fit into a stretch of time as a whole, wherever the first one begins.
fn whole_beats(nanos: i64, bpm: f32) -> u32 {
    let beats = nanos.max(0) as f64 * f64::from(bpm) / 60e9;
    beats as u32
}

fn known(view: &str) -> Result<(), Refused> {
    match STANDARD_VIEWS.contains(&view) {
        true => Ok(()),
        false => Err(Refused::NoSuchView),
    }
}
