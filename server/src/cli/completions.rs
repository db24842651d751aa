//! `limnos completions`: what a shell needs to complete our arguments.

use clap_complete::Shell;

use super::CommandResult;

#[derive(clap::Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> CommandResult {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "limnos", &mut text);
        let mut output = super::output::Output::open(None)?;
        std::io::Write::write_all(&mut output, &text).map_err(|error| super::output::write_failure(&error))?;
        output.commit()
    }
}
