//! The files of the desired state as JSON, without their secrets.

use serde_json::{Map, Value};

use super::MASK;
use super::desired_state::{is_secret_key, names_a_secret};
use crate::domain::spec::SourceFile;

/// The key of a mapping from the names of environment variables to their values.
const ENVIRONMENT: &str = "environment";

/// Each file under its name, with [`MASK`] for each secret. A file that cannot be read as YAML is
/// `null`.
pub(crate) fn masked_files(files: &[SourceFile]) -> Value {
    let named = files.iter().map(|file| {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = serde_yaml::from_str(&file.text).unwrap_or(Value::Null);
        (name, masked(content, false))
    });
    Value::Object(named.collect::<Map<_, _>>())
}

fn masked(value: Value, is_environment: bool) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let secret = is_secret_key(&key) || (is_environment && names_a_secret(&key));
                let value =
                    if secret { Value::from(MASK) } else { masked(value, key == ENVIRONMENT) };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| masked(item, false)).collect(),
        Value::String(text) => Value::String(without_credentials(text)),
        other => other,
    }
}

/// A URL without its user and password; any other text unchanged.
fn without_credentials(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@').and_then(|at| rest.get(at..)) {
        Some(rest) => format!("{scheme}://{MASK}{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let text = "\
spec:
  server: { docker: { environment: { DB_PASSWORD: one, LANG: C } }, external: { url: 'http://u:two@h/x' } }
  users:
    - { name: ann, password: three, passwordFrom: { file: secrets/ann } }
    - { name: bob, Pasword: [four, { a: five }] }
  rooms: [{ name: hall, options: { password: six, password_protected: true, title: a@b } }]
";
        let file = SourceFile { path: "/etc/x/desired-state.yaml".into(), text: text.into() };
        let shown = masked_files(&[file]).to_string();
        for secret in ["one", "two", "three", "four", "five", "six"] {
            assert!(!shown.contains(&format!("\"{secret}")) && !shown.contains(":two"), "{shown}");
        }
        for kept in ["secrets/ann", "http://***@h/x", "\"LANG\":\"C\"", "true", "a@b"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }
}
