//! The program `limnos`. All of it is in [`limnos_server::cli`].

use std::process::ExitCode;

// The system's allocator returns memory late and contends between the threads of a query.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    limnos_server::cli::main()
}
