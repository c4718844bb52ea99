//! `desired:`, which holds what an administrator writes under `spec`.

use ejabberd_operator::domain::spec::SourceFile;

const HEADER: &str =
    "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: test }\nspec:\n";

/// What is the same in nearly every file need not be written in it.
const IMPLIED: [(&str, &str); 2] =
    [("host", "example.org"), ("server", "{ docker: { container: ejabberd } }")];

/// The whole file. Its text is taken as it is, so that a list that is null and
/// one that is not there stay two things.
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
