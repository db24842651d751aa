//! Embeds the sample logs of `sql/demo/` in the binary, so that `limnos demo` needs no file beside it. In: the folders
//! there. Out: `demo_logs.rs`, a list of paths and contents.

use std::fs;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let manifest_dir = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let demo = manifest_dir.join("../sql/demo").canonicalize()?;
    println!("cargo::rerun-if-changed={}", demo.display());
    let mut entries = String::new();
    for folder in sorted(&demo)?.into_iter().filter(|path| path.is_dir()) {
        println!("cargo::rerun-if-changed={}", folder.display());
        for file in sorted(&folder)?.into_iter().filter(|path| path.is_file()) {
            let name = file.strip_prefix(&demo).expect("it was listed there").to_string_lossy().replace('\\', "/");
            entries.push_str(&format!("    ({name:?}, include_bytes!({:?})),\n", file.display().to_string()));
        }
    }
    fs::write(out_dir.join("demo_logs.rs"), format!("&[\n{entries}]\n"))
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
