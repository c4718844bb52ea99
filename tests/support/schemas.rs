//! Validates what commands print against the committed JSON Schemas.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// The commands whose JSON output has a schema.
pub const COMMANDS: [&str; 5] = ["audit", "doctor", "events", "plan", "status"];

/// The file with the schema of a command's output.
pub fn path(command: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/schemas");
    directory.join(format!("{command}.schema.json"))
}

/// The schema of a command's output, compiled once for each test binary.
fn compiled(command: &str) -> &'static (Schemas, SchemaIndex) {
    static COMPILED: [OnceLock<(Schemas, SchemaIndex)>; COMMANDS.len()] =
        [const { OnceLock::new() }; COMMANDS.len()];
    let number = COMMANDS.iter().position(|known| *known == command);
    let slot = number.and_then(|number| COMPILED.get(number)).expect("a command with a schema");
    slot.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        // Without format assertions, the validator accepts any string as a date.
        compiler.enable_format_assertions();
        let path = path(command);
        let path = path.to_str().expect("the path of the package is UTF-8");
        let index = compiler.compile(path, &mut schemas).unwrap_or_else(|e| panic!("{e:#}"));
        (schemas, index)
    })
}

/// Checks that the output of `command` matches its schema.
pub fn validate(command: &str, output: &Value) -> Result<(), String> {
    let (schemas, index) = compiled(command);
    schemas.validate(output, *index).map_err(|error| {
        format!(
            "the output of `{command}` does not match `{}`; if the change is intended, write the \
             schema again with `UPDATE_GOLDEN=1 cargo nextest run --test schemas \
             the_committed_schemas`: {error:#}\n{output:#}",
            path(command).display()
        )
    })
}

/// Fails the test if a command that was run with `args` printed JSON that its schema refuses.
pub fn assert_valid_output(args: &[&str], stdout: &str) {
    let json = args.windows(2).any(|pair| *pair == ["--output", "json"]);
    let command = args.iter().find(|arg| COMMANDS.contains(arg));
    let (true, Some(command)) = (json && !stdout.is_empty(), command) else { return };
    let parse = |text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    };
    // `events --follow` prints one object on each line.
    let output = if args.contains(&"--follow") {
        stdout.lines().map(parse).collect()
    } else {
        parse(stdout)
    };
    validate(command, &output).unwrap_or_else(|error| panic!("{args:?}: {error}"));
}
