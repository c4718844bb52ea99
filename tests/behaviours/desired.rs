//! `desired:`, which holds what an administrator writes under `spec`.

use ejabberd_operator::domain::spec::SourceFile;

const HEADER: &str =
    "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: test }\nspec:\n";

/// Settings that are the same in nearly every file, so that a file may omit them.
const IMPLIED: [(&str, &str); 2] =
    [("host", "example.org"), ("server", "{ docker: { container: ejabberd } }")];

/// The whole file. The text of the section stays unparsed, so that a null list and a missing
/// list stay different.
pub fn file(section: &str) -> Result<SourceFile, String> {
    let spec = section
        .strip_prefix("desired:\n")
        .ok_or("`desired:` is followed by an indented block, without which nothing is declared")?;
    let mut text = HEADER.to_owned();
    for (key, value) in IMPLIED {
        let written = spec.lines().any(|line| line.starts_with(&format!("  {key}:")));
        if !written {
            text += &format!("  {key}: {value}\n");
        }
    }
    Ok(SourceFile { path: "desired-state.yaml".into(), text: text + spec })
}
