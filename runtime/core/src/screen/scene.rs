//! What a scanner's screen shows, frame by frame.

use super::callipers::CalliperWatch;
use super::coarse::Coarse;
use super::colour::ColourWatch;
use super::fan::Form;
use super::finder::{Finder, Found, News};
use super::marker::MarkerWatch;
use super::pixels::Pixels;
use super::polar::{Measures, Polar};
use super::sector::{Sector, Shape};
use super::setup::{Apex, ScreenSetup, Side};
use super::signal::{Meter, Signal};
use super::surroundings::Surroundings;

/// Smallest frame that is looked at: in a smaller one nothing can be told apart.
const LEAST_PX: (usize, usize) = (160, 120);
/// Time between two looks that need no haste.
const LOOK_EVERY_NANOS: i64 = 95_000_000;
/// Time between two rounds of the finder once it has an area.
const ROUND_EVERY_NANOS: i64 = 800_000_000;
/// How long no area must be found until the frame shows no ultrasound.
const NOTHING_FOR_NANOS: i64 = 1_000_000_000;
/// Confidence from which on a rectangle is a linear probe's image.
const SURE_RECTANGLE: f32 = 0.6;
/// Confidence from which on the orientation mark is looked for beside an area.
const SURE_AREA: f32 = 0.5;
/// Confidence from which on the apex's side is believed.
const SURE_SIDE: f32 = 0.7;
/// Radius of a fan's near end, of its far end's, from which on it shows no near field, and share of the
/// directions that must begin there. Of a curved probe no more than 6 cm would be seen then.
const ZOOMED: [f32; 2] = [0.5, 0.7];
/// Looks in a row until a second image or a strip is believed, or believed gone.
const LOOKS: u32 = 5;

/// Why no number may come of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Colour Doppler is on.
    Colour,
    /// There is no ultrasound image.
    NoImage,
    /// The image is a linear probe's.
    LinearProbe,
    /// The near end of a fan is far from its apex: a part of the image, enlarged.
    Zoomed,
    /// A second image, or a strip of M-mode or Doppler.
    SecondImage,
    /// Callipers are drawn in the image.
    Callipers,
    /// The image is upside down against the site's setting.
    UpsideDown,
    /// The scanner's orientation mark is on the other side than the site's setting says.
    Mirrored,
    /// The probe touches nothing.
    InAir,
    /// Too little signal.
    LowSignal,
}

/// What became of the imaging area with a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AreaNews {
    /// The first area of this geometry.
    First,
    /// Another area: depth, zoom, probe or layout has changed.
    Other,
    /// The same area, its outline known better.
    Better,
}

/// Watches a screen.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    setup: ScreenSetup,
    size_px: (usize, usize),
    coarse: Coarse,
    finder: Finder,
    polar: Polar,
    colour: ColourWatch,
    meter: Meter,
    surroundings: Surroundings,
    marker: MarkerWatch,
    callipers: CalliperWatch,
    looked_nanos: Option<i64>,
    round_nanos: Option<i64>,
    /// Since when no area has been found.
    nothing_since_nanos: Option<i64>,
    no_image: bool,
    second: Steady,
    had_area: bool,
    /// The source has started over since the last look.
    over: bool,
    news: Option<AreaNews>,
}

/// A yes or no that must hold for some looks before it turns.
#[derive(Debug, Clone, Copy, Default)]
struct Steady {
    is: bool,
    against: u32,
}

impl Steady {
    fn push(&mut self, now: bool) {
        self.against = if now == self.is { 0 } else { self.against + 1 };
        if self.against >= LOOKS {
            *self = Self {
                is: now,
                against: 0,
            };
        }
    }
}

impl Scene {
    /// Watches a screen of a site with this setting.
    pub fn new(setup: ScreenSetup) -> Self {
        Self {
            setup,
            ..Self::default()
        }
    }

    /// Forgets everything seen.
    pub fn reset(&mut self) {
        self.finder.reset();
        self.colour.reset();
        self.colour.watch(None);
        self.meter.reset();
        self.surroundings.reset();
        self.marker.reset();
        self.callipers.reset();
        (self.looked_nanos, self.round_nanos) = (None, None);
        (self.nothing_since_nanos, self.no_image) = (None, false);
        self.second = Steady::default();
        (self.had_area, self.news) = (false, None);
    }

    /// The source starts over with the next frame: that picture jumps, and the screen is the same.
    pub fn starts_over(&mut self) {
        self.over = true;
    }

    /// The imaging area, once it is found.
    pub fn sector(&self) -> Option<&Sector> {
        self.finder.found().map(|f| &f.sector)
    }

    /// Side of the scanner's orientation mark, where it is found for sure.
    pub fn marker(&self) -> Option<Side> {
        self.marker.side()
    }

    /// True while nothing speaks against the area that holds: one the site knows, or one that the
    /// newest round has found.
    pub fn is_sure(&self) -> bool {
        let known = self.setup.pinned.is_some() && self.finder.found().is_some();
        (known || self.finder.is_sure()) && !self.no_image
    }

    /// What became of the area since it was last asked.
    pub fn take_news(&mut self) -> Option<AreaNews> {
        self.news.take()
    }

    /// True while the image is grey under a tint.
    pub fn is_tinted(&self) -> bool {
        self.colour.is_tinted()
    }

    /// The image signal, once it is measured.
    pub fn signal(&self) -> Option<Signal> {
        self.meter.signal()
    }

    /// Looks at a frame: why no number may come of it, if so.
    ///
    /// # Real-time
    /// No allocation once a geometry has been seen. Every frame: the colours of at most 6912
    /// pixels. Ten times a second: at most 410 thousand bytes, and one step of the finder.
    pub fn look(&mut self, pixels: &Pixels<'_>, at_nanos: i64) -> Option<Fault> {
        if self.size_px != pixels.size_px() {
            self.size_px = pixels.size_px();
            self.reset();
        }
        if self.size_px.0 < LEAST_PX.0 || self.size_px.1 < LEAST_PX.1 {
            return None;
        }
        let due = |since: Option<i64>, every: i64| {
            since.is_none_or(|since| at_nanos.saturating_sub(since) >= every)
        };
        if due(self.looked_nanos, LOOK_EVERY_NANOS) {
            self.looked_nanos = Some(at_nanos);
            self.coarse.sample(pixels.picture());
            self.measure(pixels, at_nanos);
        }
        let searches = self.setup.pinned.is_none();
        let hurry = self.finder.is_in_doubt();
        if searches && (self.finder.in_round() || hurry || due(self.round_nanos, ROUND_EVERY_NANOS))
        {
            if !self.finder.in_round() {
                self.round_nanos = Some(at_nanos);
            }
            if let Some(news) = self.finder.step() {
                self.follow(news, at_nanos);
            }
        }
        if self.colour.look(pixels, at_nanos) {
            return Some(Fault::Colour);
        }
        self.fault()
    }

    fn measure(&mut self, pixels: &Pixels<'_>, at_nanos: i64) {
        self.finder.push(&self.coarse);
        if let Some(pinned) = self.setup.pinned.filter(|_| self.finder.found().is_none())
            && self.finder.pin(&pinned)
        {
            self.follow(News::Other, at_nanos);
        }
        if self.finder.found().is_none() {
            self.surroundings.look(&self.coarse, None);
            return;
        }
        let over = std::mem::take(&mut self.over);
        let (means, ranges) = self.finder.means();
        let measures = Measures {
            coherence: self
                .polar
                .coherence(self.surroundings.before(), &self.coarse.sums),
            ..self.polar.measure(means, ranges)
        };
        self.meter.push(measures);
        let cut = self.surroundings.look(&self.coarse, Some(&self.polar));
        self.second.push(self.surroundings.second_image());
        if let Some(found) = self.finder.found() {
            let area = &found.sector.outline;
            self.callipers.look(pixels.picture(), area);
        }
        if let Some(found) = self.finder.found()
            && !found.sector.inverted
            && found.sector.confidence >= SURE_AREA
            && self.is_sure()
        {
            let cells = (self.coarse.cols, self.coarse.rows);
            self.marker.look(pixels, found, cells);
        }
        if cut && !over {
            self.finder.look_again();
            self.changed(AreaNews::Other);
        }
    }

    fn follow(&mut self, news: News, at_nanos: i64) {
        match news {
            News::Nothing => {
                let since = *self.nothing_since_nanos.get_or_insert(at_nanos);
                let long = at_nanos.saturating_sub(since) >= NOTHING_FOR_NANOS;
                self.no_image = long && self.surroundings.is_a_screen();
                return;
            }
            News::Same => {}
            News::Better => self.changed(AreaNews::Better),
            News::Other => {
                let known = std::mem::replace(&mut self.had_area, true);
                self.changed(if known {
                    AreaNews::Other
                } else {
                    AreaNews::First
                });
            }
        }
        (self.nothing_since_nanos, self.no_image) = (None, false);
    }

    /// Lays everything that depends on the area anew.
    fn changed(&mut self, news: AreaNews) {
        let Some(found) = self.finder.found() else {
            return;
        };
        self.polar.lay(found, self.coarse.cols, self.coarse.rows);
        self.colour.watch(Some(&found.sector.outline));
        if news != AreaNews::Better {
            self.meter.reset();
            self.surroundings.reset();
            self.marker.reset();
            self.callipers.reset();
            self.second = Steady::default();
        }
        if self.news != Some(AreaNews::Other) {
            self.news = Some(news);
        }
    }

    fn fault(&self) -> Option<Fault> {
        if self.no_image {
            return Some(Fault::NoImage);
        }
        let Found { sector, fit, .. } = self.finder.found()?;
        if sector.shape == Shape::Linear && sector.confidence >= SURE_RECTANGLE {
            return Some(Fault::LinearProbe);
        }
        if let Form::Fan { inner, outer, .. } = fit.form
            && inner > ZOOMED[0] * outer
            && fit.face >= ZOOMED[1]
            && sector.confidence >= SURE_SIDE
        {
            return Some(Fault::Zoomed);
        }
        if self.second.is {
            return Some(Fault::SecondImage);
        }
        if self.callipers.are_there() {
            return Some(Fault::Callipers);
        }
        let against = match self.setup.apex {
            Some(Apex::Up) => sector.inverted,
            Some(Apex::Down) => !sector.inverted,
            None => false,
        };
        if against && sector.shape != Shape::Linear && sector.confidence >= SURE_SIDE {
            return Some(Fault::UpsideDown);
        }
        let sides = self.setup.marker.zip(self.marker.side());
        if sides.is_some_and(|(set, found)| set != found) {
            return Some(Fault::Mirrored);
        }
        if self.meter.in_air() {
            return Some(Fault::InAir);
        }
        self.meter.is_low().then_some(Fault::LowSignal)
    }
}
