//! The commands `man` and `completions`: print the pages and scripts that the build script created.

use std::fs;
use std::path::Path;

use super::args::Shell;
use super::{Exit, Outcome, output};

/// The manual pages, as pairs of file name and content. The main page is first.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The completion scripts, as pairs of shell and content.
const SCRIPTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

/// Prints the main page, or writes all pages into `directory`.
pub(super) fn man(directory: Option<&Path>) -> Outcome {
    let Some(directory) = directory else {
        let main = PAGES.first().map(|(_, page)| *page).unwrap_or_default();
        return output::verbatim(main.as_bytes());
    };
    let failed = |what: &str, path: &Path, error: &std::io::Error| {
        Exit::Failure(format!(
            "failed to {what} `{}`: {error}; name a directory that this user can write to with \
             --output",
            path.display()
        ))
    };
    fs::create_dir_all(directory).map_err(|e| failed("make", directory, &e))?;
    for (name, page) in PAGES {
        let path = directory.join(name);
        fs::write(&path, page).map_err(|e| failed("write", &path, &e))?;
    }
    output::print(&format!("Wrote {} pages to {}\n", PAGES.len(), directory.display()))
}

/// Prints the completion script of a shell.
pub(super) fn completions(shell: Shell) -> Outcome {
    let script = SCRIPTS.iter().find(|(name, _)| *name == shell.name());
    output::verbatim(script.map(|(_, script)| *script).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::args::{self, Arguments};
    use super::super::manual;
    use super::*;
    use clap::{FromArgMatches, ValueEnum};

    #[test]
    fn every_command_has_a_page_with_its_sections() {
        let mut command = args::command();
        command.build();
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = format!("ejabberd-operator-{}.1", command.get_name());
            let (_, page) = PAGES.iter().find(|(file, _)| *file == name).expect("a page");
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "\"EXIT STATUS\"", "ENVIRONMENT"] {
                assert!(page.contains(&format!(".SH {section}\n")), "{section} of {name}");
            }
        }
        assert_eq!(PAGES.len(), command.get_subcommands().count(), "the main page, and no help");
        assert!(PAGES[0].1.contains(".SH EXAMPLES") && PAGES[0].1.contains(".SH FILES"));
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in Shell::value_variants() {
            let script = SCRIPTS.iter().find(|(name, _)| *name == shell.name()).expect("a script");
            assert!(script.1.contains("ejabberd-operator"), "{shell:?}");
        }
    }

    #[test]
    fn every_example_and_exit_code_belongs_to_an_existing_command() {
        let command = args::command();
        for (name, examples) in manual::EXAMPLES {
            assert!(name.is_empty() || command.find_subcommand(name).is_some(), "{name}");
            for (_, typed) in *examples {
                let matches = args::command().try_get_matches_from(typed.split(' '));
                Arguments::from_arg_matches(&matches.unwrap()).unwrap();
            }
        }
        for (name, _) in manual::EXIT_OF {
            assert!(command.find_subcommand(name).is_some(), "{name}");
        }
    }
}
