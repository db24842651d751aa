//! The program `limnos`. All of it is in [`limnos_server::cli`].

use std::process::ExitCode;

// The system's allocator returns memory late and contends between the threads of a query.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(unix)]
    return_memory_at_once();
    limnos_server::cli::main()
}

/// Starts the program again with the allocator's option to return memory when it is freed, which it reads from the
/// environment before `main`. By default it returns memory a second later, and only when the thread that had it allocates
/// again: after one big query the process stays as large as it was, and the watchdog takes the next query for the culprit.
#[cfg(unix)]
fn return_memory_at_once() {
    use std::os::unix::process::CommandExt;

    const OPTION: &str = "MIMALLOC_PURGE_DELAY";
    // Set by whoever starts us, or by ourselves.
    if std::env::var_os(OPTION).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut args = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    // Comes back only when it fails; then the server runs without.
    let _failed = command.args(args).env(OPTION, "0").exec();
}
