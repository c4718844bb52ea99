//! Reads the section `desired:`, the content of `spec` in `desired-state.yaml`.

use ejabberd_operator::domain::spec::SourceFile;

const HEADER: &str =
    "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: test }\nspec:\n";

/// The settings that a golden file may omit, because nearly every file has the same values.
const IMPLIED: [(&str, &str); 2] =
    [("host", "example.org"), ("server", "{ docker: { container: ejabberd } }")];

/// Returns the whole desired state file. Copies the text of the section without parsing the text,
/// so that a null list and a missing list stay different. Fails if the section has no indented
/// block.
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
