//! `man`, `completions` and `explain` of the built program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn operator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"))
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap()
}

/// The standard output of a command that succeeds.
fn output(arguments: &[&str]) -> String {
    let out = operator(arguments);
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Returns the completions that bash offers for the last word of a line.
fn offered(script: &Path, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (last, before) = (words.len() - 1, words[words.len().saturating_sub(2)]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    // Calls the same completion function as bash.
    let program = format!(
        "source '{}'; words=($(complete -p ejabberd-operator)) || exit 1; COMP_WORDS=({}); \
         COMP_CWORD={last}; for n in \"${{!words[@]}}\"; do \
         [ \"${{words[n]}}\" = -F ] && \"${{words[n + 1]}}\" ejabberd-operator '{}' '{before}'; done; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        words[last],
    );
    let out = Command::new("bash").args(["--norc", "-c", &program]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("completion.bash");
    fs::write(&script, output(&["completions", "bash"])).unwrap();
    assert_eq!(offered(&script, "ejabberd-operator pl"), ["plan"]);
    assert_eq!(offered(&script, "ejabberd-operator plan --det"), ["--detailed-exitcode"]);
    assert_eq!(offered(&script, "ejabberd-operator status --output "), ["text", "json", "yaml"]);
    assert_eq!(offered(&script, "ejabberd-operator run --log-format j"), ["json", "journald"]);
    assert!(offered(&script, "ejabberd-operator ").iter().any(|word| word == "explain"));
}

/// Runs a checker, if it is installed, and fails the test if the checker fails.
fn check(program: &str, arguments: &[&str], what: &Path) {
    let out = Command::new(program).args(arguments).arg(what).stdin(Stdio::null()).output();
    let Ok(out) = out else {
        eprintln!("{program} is not installed: {} was not checked", what.display());
        return;
    };
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {}: {text}", what.display());
}

#[test]
fn every_shell_accepts_its_script() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, arguments) in [("zsh", ["-n"]), ("fish", ["--no-execute"]), ("bash", ["-n"])] {
        let script = directory.path().join(shell);
        fs::write(&script, output(&["completions", shell])).unwrap();
        check(shell, &arguments, &script);
    }
}

#[test]
fn the_manual_has_a_valid_page_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    output(&["man", "--output", pages.to_str().unwrap()]);
    let main = fs::read_to_string(pages.join("ejabberd-operator.1")).unwrap();
    assert_eq!(output(&["man"]), main);
    let help = output(&["--help"]);
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 15, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(pages.join(format!("ejabberd-operator-{name}.1")).exists(), "{name}");
        assert!(main.contains(&format!("ejabberd\\-operator\\-{name}(1)")), "{name}");
    }
    for page in fs::read_dir(&pages).unwrap() {
        let page = page.unwrap().path();
        // `clap_mangen` decides the style of a page, so only errors and unsupported macros count.
        check("mandoc", &["-T", "lint", "-W", "error"], &page);
        let out = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page).output();
        if let Ok(out) = out {
            assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{}", page.display());
        }
    }
}

#[test]
fn explain_describes_a_field_or_suggests_a_name() {
    let users = output(&["explain", "users"]);
    assert!(users.starts_with("FIELD  spec.users <[]object>"), "{users}");
    assert!(users.contains("passwordFrom") && users.contains("required"), "{users}");
    assert_eq!(output(&["explain", "spec.users"]), users);
    let options = output(&["explain", "spec.rooms.options"]);
    assert!(options.contains("members_only"), "{options}");
    assert!(output(&["explain"]).contains("apiVersion"));
    let tree = output(&["explain", "--recursive"]);
    assert!(tree.lines().count() > 80 && tree.contains("maxDeletePercent"), "{tree}");
    let out = operator(&["explain", "users.passwrdFrom"]);
    assert_eq!(out.status.code(), Some(1));
    let message = String::from_utf8(out.stderr).unwrap();
    assert!(message.contains("did you mean `spec.users.passwordFrom`?"), "{message}");
}
