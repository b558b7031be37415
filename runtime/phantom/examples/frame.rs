//! Writes one frame of a phantom with its screen, as `--source phantom:...` would show it.
//!
//! `cargo run -p echocart-phantom --release --example frame -- view=A4C,ef=55 30 OUT.ppm`

use std::error::Error;
use std::io::Write;

use echocart_phantom::Spec;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [spec, frame, out] = args.as_slice() else {
        return Err("usage: frame SPEC FRAME OUT.ppm".into());
    };
    let frame: u32 = frame.parse()?;
    let mut screen = Spec::parse(spec)?.screen()?;
    let layout = screen.phantom().exam().layout;
    let mut pixels = vec![0; layout.width_px as usize * layout.height_px as usize * 3];
    for shown in frame.saturating_sub(3)..=frame {
        screen.render(shown, &mut pixels);
    }
    let mut file = std::fs::File::create(out)?;
    writeln!(file, "P6\n{} {}\n255", layout.width_px, layout.height_px)?;
    file.write_all(&pixels)?;
    Ok(())
}
