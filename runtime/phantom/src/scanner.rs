//! Image formation for one set of settings.

use crate::cloud::Cloud;
use crate::echo::{Caster, Drift, Echo};
use crate::gain::GainMap;
use crate::motion::HeartState;
use crate::noise::Background;
use crate::picture::Picture;
use crate::polar::PolarGrid;
use crate::response::Response;
use crate::scan::{Layout, Placement, ScanConverter};
use crate::{Imaging, Vec3};

/// From scatterers to pixels.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    pub grid: PolarGrid,
    pub placement: Placement,
    caster: Caster,
    response: Response,
    background: Background,
    picture: Picture,
    converter: ScanConverter,
    echo: Echo,
}

impl Scanner {
    pub(crate) fn new(imaging: &Imaging, layout: &Layout) -> Self {
        let grid = PolarGrid::new(imaging, layout.height_px);
        let mut response = Response::new(imaging, &grid);
        let placement = Placement::new(layout, imaging);
        Self {
            placement,
            caster: Caster::new(imaging, &grid),
            background: Background::new(imaging, &grid, &mut response),
            picture: Picture::new(imaging, &grid),
            converter: ScanConverter::new(layout, &placement, &grid),
            echo: Echo::new(&grid),
            response,
            grid,
        }
    }

    /// Starts a frame.
    pub(crate) fn begin(&mut self) {
        self.echo.clear();
    }

    /// Adds tissue to the frame.
    pub(crate) fn cast(&mut self, cloud: &Cloud, state: &HeartState, drift: &Drift) {
        self.caster.cast(&mut self.echo, cloud, state, drift);
    }

    /// Adds one scatterer in the probe's frame.
    pub(crate) fn add(&mut self, point: Vec3, amplitude: f32) {
        self.caster.add(&mut self.echo, point, amplitude);
    }

    /// Ends a frame: its grey levels are ready.
    pub(crate) fn finish(&mut self, gain: &GainMap, contraction: f32, frame: u64) {
        self.response.apply(&mut self.echo);
        self.picture
            .develop(&self.echo, gain, contraction, &self.background, frame);
    }

    /// Writes the sector's pixels.
    pub(crate) fn write(&self, pixels: &mut [u8]) {
        self.converter.convert(self.picture.grey(), pixels);
    }

    /// The sector's pixels, by their place in the frame.
    pub(crate) fn sector(&self) -> impl Iterator<Item = usize> {
        self.converter.pixels()
    }

    /// Forgets the frame before.
    pub(crate) fn restart(&mut self) {
        self.picture.restart();
    }
}
