use echocart_export::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let case = parity::Case::open(std::path::Path::new(&a[1]).join("case.json").as_path()).unwrap();
    let dir = std::path::Path::new(&a[1]);
    let src = |f: &str| {
        let p = dir.join(f);
        if p.exists() {
            WeightSource::Checkpoint(p)
        } else {
            WeightSource::Generated(case.tag.clone())
        }
    };
    let r = export(
        &ExportRequest {
            recipe: case.recipe(),
            encoder: src("encoder.pt"),
            probes: ["view", "lvef"]
                .iter()
                .map(|n| (n.to_string(), src(&format!("{n}_probe.pt"))))
                .collect(),
            out_dir: a[2].clone().into(),
            replace: true,
        },
        &mut |_, _, _| {},
    );
    match r {
        Ok(r) => println!("{} {} bytes", r.hash, r.bytes),
        Err(e) => {
            println!("{e}");
            std::process::exit(4)
        }
    }
}
