//! Rebuilds the server when a migration changes: `sqlx::migrate!` embeds the folder at compile time and
//! cargo cannot see that on its own. Packs the assets of the dashboard into release builds; debug builds read them from
//! the source.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use flate2::Compression;
use flate2::GzBuilder;
use sha2::Digest as _;
use sha2::Sha256;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything by its environment"
)]
fn main() {
    println!("cargo::rerun-if-changed=../migrations");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let assets = Path::new("src/web/assets");
    let mut files = Vec::new();
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed={}", assets.display());
        find(assets, &mut files);
        files.sort();
    }
    let (mut whole, mut table, mut icons) = (Sha256::new(), String::new(), String::new());
    for file in &files {
        let name = file.strip_prefix(assets).expect("below the assets");
        let name = name.to_str().expect("an asset has a plain name").to_owned();
        let bytes = fs::read(file).expect("an asset can be read");
        whole.update(name.as_bytes());
        whole.update(Sha256::digest(&bytes));
        let place = out.join(format!("{}.gz", name.replace('/', "_")));
        // Without a time, so that the same assets make the same binary.
        let mut archive = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        archive.write_all(&bytes).expect("memory takes it");
        fs::write(&place, archive.finish().expect("memory takes it"))
            .expect("OUT_DIR can be written");
        let packed = place.to_str().expect("OUT_DIR is text");
        writeln!(table, "    ({name:?}, include_bytes!({packed:?})),").expect("a String takes it");
        if let Some(icon) = name.strip_prefix("icons/").and_then(|name| name.strip_suffix(".svg")) {
            let text = String::from_utf8(bytes).expect("an icon is text");
            writeln!(icons, "    ({icon:?}, {text:?}),").expect("a String takes it");
        }
    }
    let digest = whole.finalize();
    let revision = digest.iter().take(8).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes it");
        text
    });
    let source = format!(
        "pub(super) const REVISION: &str = {revision:?};\n\
         pub(super) const PACKED: &[(&str, &[u8])] = &[\n{table}];\n\
         pub(super) const ICONS: &[(&str, &str)] = &[\n{icons}];\n"
    );
    fs::write(out.join("assets.rs"), source).expect("OUT_DIR can be written");
}

fn find(below: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("the assets can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, into);
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known)) {
            into.push(path);
        }
    }
}

/// What is served; notes and tests beside them are not.
const KINDS: [&str; 6] = ["css", "js", "svg", "png", "webmanifest", "woff2"];
