//! `docs/commands.md`: every command, from the arguments that the program accepts.

use clap::{Arg, Command};
use ejabberd_operator::cli;

use super::{code, head, table};

pub fn document() -> String {
    let mut root = cli::command().disable_help_subcommand(true);
    root.build();
    let mut text = head(
        "Commands",
        "Results go to standard output, everything else to standard error. `ejabberd-operator help COMMAND` \
         prints the same text, and `ejabberd-operator man` prints the manual.",
    );
    text += "\n## Options of every command\n";
    text += &arguments(&root, Arg::is_global_set);
    for command in root.get_subcommands_mut() {
        text += &section(command);
    }
    text += "\n## Exit status\n\nA command has these statuses, unless its section names others.\n";
    text += &table(["status", "meaning"], &pairs(&cli::exit_statuses("")));
    text += "\n## Environment\n\nThe program also reads these variables.\n";
    text += &table(["variable", "meaning"], &pairs(cli::ENVIRONMENT));
    text += "\n## Files\n";
    text += &table(["file", "content"], &pairs(cli::FILES));
    text
}

fn pairs(entries: &[(&str, &str)]) -> Vec<[String; 2]> {
    entries.iter().map(|(name, meaning)| [code(name), (*meaning).to_owned()]).collect()
}

fn section(command: &mut Command) -> String {
    let name = command.get_name().to_owned();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>();
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n## {name}\n\n{about}.\n\n```text\n{}\n```\n", usage.join(" "));
    text += &arguments(command, |argument| !argument.is_global_set());
    let statuses = cli::exit_statuses(&name);
    if statuses != cli::exit_statuses("") {
        text += &table(["exit status", "meaning"], &pairs(&statuses));
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines = examples.lines().skip(1).map(str::trim).collect::<Vec<_>>();
        text += &format!("\n```sh\n{}\n```\n", lines.join("\n").trim_end());
    }
    text
}

/// The arguments of a command that `chosen` accepts, without `--help` and `--version`.
fn arguments(command: &Command, chosen: impl Fn(&Arg) -> bool) -> String {
    let shown = command.get_arguments().filter(|argument| {
        !["help", "version"].contains(&argument.get_id().as_str()) && chosen(argument)
    });
    let rows: Vec<[String; 4]> = shown.map(row).collect();
    table(["argument", "default", "environment", "meaning"], &rows)
}

fn row(argument: &Arg) -> [String; 4] {
    let takes_value = argument.get_action().takes_values();
    let values: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let mut name = match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long}"),
        (Some(long), None) => format!("--{long}"),
        _ => String::new(),
    };
    if takes_value {
        let values = values.join(" ");
        name = if name.is_empty() { values } else { format!("{name} {values}") };
    }
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy());
    let default = if takes_value { defaults.collect::<Vec<_>>().join(" ") } else { String::new() };
    let variable = argument.get_env().map(|name| name.to_string_lossy()).unwrap_or_default();
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if argument.is_required_set() {
        meaning += "; required";
    }
    let possible = argument.get_possible_values();
    if takes_value && !possible.is_empty() {
        let value = |value: &clap::builder::PossibleValue| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => code(value.get_name()),
        };
        let words: Vec<String> = possible.iter().map(value).collect();
        meaning += &format!(". One of {}", words.join(", "));
    }
    [code(&name), code(&default), code(&variable), meaning]
}
