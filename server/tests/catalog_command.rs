//! `limnos catalog export` and `import` as people call them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `limnos` with nothing of our environment that could be a setting.
fn limnos(folder: &Path, arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_limnos"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("LIMNOS_CATALOG")
        .env_remove("LIMNOS_DATA_DIR")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that has failed already doesn't read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn succeeds(folder: &Path, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let output = limnos(folder, arguments, &[], input);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {told}");
    (output.stdout, told)
}

fn fails(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = limnos(folder, arguments, &[], b"");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_catalog_moves_from_place_to_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sql =
        "CREATE DATABASE sales COMMENT 'ours'; CREATE VIEW sales.v AS SELECT 1 AS a; CREATE VIEW w AS SELECT 'x' AS b";
    succeeds(folder, &["query", "--data-dir", "first", sql], b"");
    let (_, told) = succeeds(folder, &["catalog", "export", "all.jsonl", "--data-dir", "first"], b"");
    assert_eq!(told, "exported: databases 2, tables and views 2, partitions 0, other objects 0\n");
    let file = std::fs::read(folder.join("all.jsonl")).unwrap();

    let postgres = limnos_test_postgres::fresh_schema();
    for place in [Some("sqlite:moved/c.db".to_owned()), postgres].into_iter().flatten() {
        let at = ["--catalog", place.as_str()];
        let (_, told) = succeeds(folder, &[&["catalog", "import", "-"], &at[..]].concat(), &file);
        assert_eq!(told, "imported: databases 2, tables and views 2, partitions 0, other objects 0\n");
        let (again, _) = succeeds(folder, &[&["catalog", "export", "-"], &at[..]].concat(), b"");
        assert!(again == file, "{}", String::from_utf8_lossy(&again));
        let (answer, _) =
            succeeds(folder, &[&["query", "--format", "csv", "SELECT a FROM sales.v"], &at[..]].concat(), b"");
        assert_eq!(answer, b"a\n1\n");

        let told = fails(folder, &[&["catalog", "import", "all.jsonl"], &at[..]].concat(), 1);
        assert!(told.contains("is not empty") && told.contains("HINT:  Use --replace"), "{told}");
        succeeds(folder, &[&["catalog", "import", "all.jsonl", "--replace"], &at[..]].concat(), b"");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let told = fails(folder, &["catalog", "export", "x"], 2);
    assert!(told.starts_with("limnos: no catalog is given\nHINT:  Use --data-dir"), "{told}");
    let told = fails(folder, &["catalog", "export", "x", "--data-dir", "nowhere"], 1);
    assert!(told.starts_with("limnos: there is no catalog \"nowhere/catalog.sqlite\""), "{told}");
    assert!(!folder.join("nowhere").exists() && !folder.join("x").exists());
    let told = fails(folder, &["catalog", "import", "nowhere", "--data-dir", "new"], 1);
    assert!(told.starts_with("limnos: could not read \"nowhere\": "), "{told}");
    std::fs::write(folder.join("bad"), "{\"limnos_catalog\":1,\"next_id\":2}\n{}\n").unwrap();
    let told = fails(folder, &["catalog", "import", "bad", "--data-dir", "new"], 1);
    assert!(told.starts_with("limnos: line 2: "), "{told}");
    for command in ["catalog export x", "query select", "serve --data-dir d"] {
        let arguments: Vec<&str> =
            command.split(' ').chain(["--catalog", "postgres://ann:hunter2@127.0.0.1:1/d"]).collect();
        let told = fails(folder, &arguments, 2);
        assert!(told.contains("a password in --catalog is seen by everyone") && !told.contains("hunter2"), "{told}");
    }
    // From the environment it may come, and is in no message.
    let environment = [("LIMNOS_CATALOG", "postgres://ann:hunter2@127.0.0.1:1/d")];
    let output = limnos(folder, &["catalog", "export", "x"], &environment, b"");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("catalog \"postgres://ann@127.0.0.1:1/d\" cannot be opened: it is out of reach"), "{told}");
    assert!(!told.contains("hunter2") && output.status.code() == Some(1), "{told}");
}
