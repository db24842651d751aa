//! Every `sql/slt/**.slt`, both ways.

use limnos_tests::slt;

#[tokio::test(flavor = "multi_thread")]
async fn sql_tests_answer_the_same_in_process_and_over_the_wire() {
    // `LIMNOS_SLT=join` runs only the files whose path has that in it, while one works on them.
    let only = std::env::var("LIMNOS_SLT").unwrap_or_default();
    // `LIMNOS_SLT_ACCEPT=1` writes answers that differ from PostgreSQL's into the files, to be looked at with `git diff`.
    let accept = std::env::var_os("LIMNOS_SLT_ACCEPT").is_some();
    let mut failures = Vec::new();
    let mut files_failed = 0;
    for file in slt::files().unwrap() {
        if !file.to_string_lossy().contains(&only) {
            continue;
        }
        let found = slt::run_file(&file, accept).await.unwrap();
        files_failed += usize::from(!found.is_empty());
        failures.extend(found);
    }
    let all = failures.join("\n\n");
    assert!(failures.is_empty(), "{} failures in {files_failed} files\n\n{all}", failures.len());
}
