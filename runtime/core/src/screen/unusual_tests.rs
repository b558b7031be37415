use super::show::{Drawing, Show, screen};
use super::{Fault, ScreenSetup};

/// Tissue with a dark chamber between two arcs round `apex`, radii and half its angle as given.
fn part(drawing: Drawing, apex: [f32; 2], radii: [f32; 2], half: f32) -> Drawing {
    let aspect = drawing.width as f32 / drawing.height as f32;
    drawing.fill(true, move |x, y| {
        let (dx, dy) = ((x - apex[0]) * aspect, y - apex[1]);
        let far = dx.hypot(dy);
        let inside = dx.atan2(dy).abs() < half.to_radians() && far > radii[0] && far < radii[1];
        let middle = (radii[0] + radii[1]) / 2.0;
        let chamber = dx.hypot(dy - middle) < 0.2 * (radii[1] - radii[0]);
        inside.then_some(if chamber {
            14.0
        } else {
            60.0 + 60.0 * (dx * 17.0).sin().abs()
        })
    })
}

fn said(drawing: &Drawing) -> (Option<Fault>, Show) {
    let mut show = Show::new(ScreenSetup::default());
    (show.drawn(drawing), show)
}

#[test]
fn a_fan_without_its_near_field_is_a_zoomed_one() {
    for (radii, half) in [
        ([0.55, 1.0], 30.0),
        ([0.62, 1.05], 24.0),
        ([0.7, 1.2], 22.0),
        ([0.8, 1.5], 25.0),
    ] {
        let apex = [0.45, 0.06 - radii[0] * 0.9];
        let (fault, _) = said(&part(screen(), apex, radii, half));
        assert_eq!(fault, Some(Fault::Zoomed), "{radii:?} {half}");
    }
}

#[test]
fn a_curved_probe_at_the_depth_of_a_heart_is_not_zoomed() {
    // faces of 40 and 60 mm, depths of 120 to 180 mm
    for (face, depth) in [(40.0, 120.0), (40.0, 180.0), (60.0, 120.0), (60.0, 160.0)] {
        let scale = 0.82 / (face + depth - face * 0.8);
        let apex = [0.45, 0.05 - face * 0.8 * scale];
        let radii = [face * scale, (face + depth) * scale];
        let (fault, show) = said(&part(screen(), apex, radii, 32.0));
        assert_eq!(fault, None, "{face} {depth}");
        assert!(show.scene.sector().is_some(), "{face} {depth}");
    }
}

#[test]
fn two_images_side_by_side_are_not_permitted() {
    // a contrast image beside its grey one, two planes of a matrix probe, a comparison
    let one = part(screen(), [0.21, 0.1], [0.0, 0.5], 30.0);
    let (fault, _) = said(&part(one, [0.65, 0.1], [0.0, 0.5], 30.0));
    assert_eq!(fault, Some(Fault::SecondImage));
}

#[test]
fn a_rectangle_that_is_zoomed_is_not_permitted() {
    let image = |x: f32, y: f32| {
        let inside = (0.2..0.62).contains(&x) && (0.2..0.8).contains(&y);
        inside.then_some(50.0 + 70.0 * ((x * 31.0).sin() * (y * 19.0).cos()).abs())
    };
    let (fault, _) = said(&screen().fill(true, image));
    assert_eq!(fault, Some(Fault::LinearProbe));
}

#[test]
fn a_rendered_volume_in_two_colours_gives_no_number() {
    // orange near, blue far, as depth is shown; its outline is no fan
    const SIZE: i32 = 150;
    let mut show = Show::new(ScreenSetup::default());
    let said = show.black((640, 480), 75, |frame, canvas| {
        for dy in -SIZE..=SIZE {
            for dx in -SIZE..=SIZE {
                let off = f64::from(dx * dx + dy * dy).sqrt();
                let angle = f64::from(dy).atan2(f64::from(dx));
                let edge = f64::from(SIZE) * (0.8 + 0.15 * (3.0 * angle).sin());
                if off < edge {
                    let turn = f64::from(frame) * 0.1;
                    let wave = (off * 0.2 + angle * 5.0 + turn).sin().mul_add(0.3, 0.6);
                    let far = off < 0.4 * edge;
                    let tint = if far {
                        [70.0, 110.0, 200.0]
                    } else {
                        [230.0, 160.0, 90.0]
                    };
                    canvas.dot(320 + dx, 240 + dy, tint.map(|t| (t * wave) as u8));
                }
            }
        }
    });
    assert!(said[45..].iter().all(Option::is_some), "{said:?}");
}
