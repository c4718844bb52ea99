//! Generates the JSON Schemas of the output with `--output json` from the Rust types of the output.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::{audit, doctor};
use crate::domain::plan::Plan;
use crate::domain::status::{Event, Status};

/// Returns the schemas of the output, as pairs of a command and a schema.
///
/// A schema does not allow unknown fields, so that a test notices a new field.
#[must_use]
pub fn output_schemas() -> [(&'static str, Value); 5] {
    [
        ("audit", schema::<audit::Report<'_>>("audit")),
        ("doctor", schema::<doctor::Report<'_>>("doctor")),
        ("events", schema::<Vec<Event>>("events")),
        ("plan", schema::<Plan>("plan")),
        ("status", schema::<Status>("status")),
    ]
}

fn schema<T: JsonSchema>(command: &str) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(refuse_other_fields));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), format!("ejabberd-operator {command} --output json").into());
    schema.to_value()
}

/// Sets `additionalProperties: false` on each object that lists its properties.
fn refuse_other_fields(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}
