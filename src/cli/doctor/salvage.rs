//! Reads the parts of an invalid file that declare the server.

use serde_json::{Map, Value, json};

use crate::domain::spec;
use crate::domain::spec::{DesiredState, SourceFile};

/// The groups of fields that are sufficient to diagnose a server, the largest group first. `doctor`
/// uses the first group that is valid.
const PARTS: [&[&str]; 3] = [
    &["host", "hosts", "server", "config", "users", "groups", "rooms"],
    &["host", "hosts", "server", "config"],
    &["host", "hosts", "server"],
];

/// The maximum number of attempts to parse a file as YAML. Each attempt removes one more line from
/// the end.
const MOST_CUTS: usize = 300;

/// The maximum size of a file from which lines are removed, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Returns a desired state with the parts of `files` that declare the server. `None` if no such
/// part is valid.
pub(super) fn server_of(files: &[SourceFile]) -> Option<DesiredState> {
    let read: Vec<(&SourceFile, Map<String, Value>)> =
        files.iter().filter_map(|file| Some((file, spec_of(&file.text)?))).collect();
    let (main, _) = read.iter().find(|(_, spec)| spec.contains_key("server"))?;
    PARTS.iter().find_map(|parts| {
        let mut kept = Map::new();
        for part in *parts {
            let found = read.iter().find_map(|(_, spec)| spec.get(*part));
            if let Some(found) = found {
                kept.insert((*part).to_owned(), found.clone());
            }
        }
        // Write JSON, because JSON is also YAML. Keep the path of the file, because the paths in
        // the file are relative to that path.
        let text = json!({
            "apiVersion": "ejabberd-operator/v1",
            "kind": "EjabberdServer",
            "metadata": { "name": "unknown" },
            "spec": kept,
        });
        let file = SourceFile { path: main.path.clone(), text: text.to_string() };
        spec::validate(&[file]).ok().map(|validated| validated.desired)
    })
}

/// Returns the `spec` of a file. If the file is not YAML, the function parses the longest beginning
/// of the file that is YAML. `None` if no beginning has a `spec`.
fn spec_of(text: &str) -> Option<Map<String, Value>> {
    let mut rest = text;
    for _ in 0..MOST_CUTS {
        if let Ok(Value::Object(mut root)) = serde_yaml::from_str::<Value>(rest) {
            if let Some(Value::Object(spec)) = root.remove("spec") {
                return Some(spec);
            }
            return None;
        }
        if rest.len() > MOST_BYTES {
            return None;
        }
        rest = rest.trim_end_matches('\n').rsplit_once('\n')?.0;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: x }\nspec:\n  \
                        host: test.example\n  server:\n    docker: { container: xmpp, image: i }\n";

    fn container(more: &str) -> Option<String> {
        let file = SourceFile { path: "d.yaml".into(), text: format!("{HEAD}{more}") };
        assert!(spec::validate(std::slice::from_ref(&file)).is_err(), "{more} is a mistake");
        match server_of(&[file])?.server.runtime {
            spec::Runtime::Docker(docker) => Some(docker.container),
            _ => None,
        }
    }

    #[test]
    fn the_server_is_found_in_a_file_with_errors() {
        for more in [
            "  usrs: []\n",
            "  users:\n    - { name: 'a b' }\n",
            "  users:\n    - { name: [\n",
            "  users:\n  - name: a\n   - b: c\n  rooms: []\n",
            "  config: { variant: nowhere, variants: {} }\n",
        ] {
            assert_eq!(container(more).as_deref(), Some("xmpp"), "{more}");
        }
    }

    #[test]
    fn a_file_without_a_server_declares_none() {
        let of =
            |text: &str| server_of(&[SourceFile { path: "d.yaml".into(), text: text.to_owned() }]);
        assert!(of("").is_none() && of("spec: [").is_none() && of("spec: { host: a.b }").is_none());
        assert!(of("spec: { host: a.b, server: { dock: {} } }").is_none());
    }

    #[test]
    fn valid_fields_beside_the_server_are_kept() {
        let text = format!("{HEAD}  users: [{{ name: ann }}]\n  usrs: []\n");
        let found = server_of(&[SourceFile { path: "d.yaml".into(), text }]).unwrap();
        assert_eq!(found.users.map(|users| users.len()), Some(1));
    }
}
