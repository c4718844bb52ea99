//! Generates the manual pages and the completion scripts from the arguments. The files become
//! part of the binary, so they always match the program.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

#[allow(dead_code, reason = "the arguments are described here, and not read")]
#[path = "src/cli/args.rs"]
mod args;
#[path = "src/cli/manual.rs"]
mod manual;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    for source in ["build.rs", "src/cli/args.rs", "src/cli/args/values.rs", "src/cli/manual.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let pages = pages()?;
    let scripts = scripts()?;
    embed(&out, "pages", &pages)?;
    embed(&out, "scripts", &scripts)
}

/// Writes the files and a list of them that the library includes.
fn embed(out: &Path, name: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
    let directory = out.join(name);
    fs::create_dir_all(&directory)?;
    let mut list = String::from("&[\n");
    for (file, content) in files {
        let path = directory.join(file);
        fs::write(&path, content)?;
        let path = path.to_str().ok_or("the path of the build is not UTF-8")?;
        list += &format!("    ({file:?}, include_str!({path:?})),\n");
    }
    fs::write(out.join(format!("{name}.rs")), list + "]\n")?;
    Ok(())
}

/// A completion script for each shell, under the shell's name.
fn scripts() -> Result<Vec<(String, Vec<u8>)>> {
    let shells = [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh];
    let script = |shell: Shell| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut args::command(), args::NAME, &mut script);
        if shell == Shell::Bash {
            script = mended(&String::from_utf8(script)?).into_bytes();
        }
        Ok((shell.to_string(), script))
    };
    shells.into_iter().map(script).collect()
}

/// Fixes the script: its labels spell the hyphen of the program's name differently from the loop
/// that searches for the labels, so the shell would complete nothing after a command
/// (clap-rs/clap#6421).
fn mended(script: &str) -> String {
    let spelled = |hyphen: &str| args::NAME.replace('-', hyphen);
    script.replace(&spelled("__subcmd__"), &spelled("__"))
}

/// The main page and a page for each command, by file name.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    // `help` has no page.
    let mut root = args::command().disable_help_subcommand(true);
    root.build();
    let mut pages = vec![(format!("{}.1", args::NAME), page(&root, "")?)];
    for command in root.get_subcommands() {
        let name = command.get_name();
        pages.push((format!("{}-{name}.1", args::NAME), page(command, name)?));
    }
    Ok(pages)
}

fn page(command: &Command, name: &str) -> Result<Vec<u8>> {
    let title =
        if name.is_empty() { args::NAME.to_owned() } else { format!("{}-{name}", args::NAME) };
    let man = Man::new(command.clone());
    // The page has no date, so that builds of the same source are equal. `Man` omits the field of
    // an empty date, and the next field would take its position.
    let version = env!("CARGO_PKG_VERSION");
    let mut page =
        format!(".TH {} 1 \"\" \"{} {version}\"\n", title.to_uppercase(), args::NAME).into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut more = Roff::new();
    list(&mut more, "EXIT STATUS", &manual::exit_statuses(name));
    list(&mut more, "ENVIRONMENT", manual::ENVIRONMENT);
    list(&mut more, "FILES", manual::FILES);
    let examples = manual::of(manual::EXAMPLES, name);
    if !examples.is_empty() {
        more.control("SH", ["EXAMPLES"]);
    }
    for (what, typed) in examples {
        more.control("TP", []).text([roman(format!("{what}:"))]).text([bold(*typed)]);
    }
    more.control("SH", ["SEE ALSO"]);
    let others = if name.is_empty() {
        "ejabberd-operator-run(1), ejabberd-operator-plan(1)"
    } else {
        "ejabberd-operator(1)"
    };
    more.text([roman(format!("{others}, ejabberdctl(8)"))]);
    more.to_writer(&mut page)?;
    Ok(page)
}

fn list<'l>(
    roff: &mut Roff,
    title: &str,
    entries: impl IntoIterator<Item = &'l (&'l str, &'l str)>,
) {
    roff.control("SH", [title]);
    for (name, meaning) in entries {
        roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
    }
}
