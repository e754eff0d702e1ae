//! The JSON Schema of the event stream, made from the types that are written.

use schemars::{
    Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::json;

use host_model::{Event, SCHEMA_VERSION};

/// The JSON Schema (draft 2020-12) of one line of `events.jsonl`.
///
/// It leaves room for what later hosts add: a key that it does not name is no error, as none is for a reader.
#[must_use]
pub fn event_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Event>();
    RecursiveTransform(open).transform(&mut schema);
    schema.insert("title".into(), json!(format!("An event of `host`, schema {SCHEMA_VERSION}")));
    schema.to_value()
}

/// Unlike in files, unknown keys are allowed in a stream.
fn open(schema: &mut Schema) {
    for closed in ["additionalProperties", "unevaluatedProperties"] {
        if schema.get(closed) == Some(&json!(false)) {
            schema.remove(closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use boon::{Compiler, SchemaIndex, Schemas};

    use super::*;
    use crate::sample;

    #[test]
    fn the_schema_file_matches_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/events.schema.json");
        let made = format!("{:#}\n", event_schema());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == made,
            "docs/reference/events.schema.json does not match the model: `UPDATE_SCHEMA=1 cargo test --workspace schema` writes \
             it again; where a reader must know of the change, raise SCHEMA_VERSION"
        );
    }

    /// The problem of an event.
    fn problem(event: &serde_json::Value) -> Option<String> {
        thread_local!(static COMPILED: (Schemas, SchemaIndex) = compiled());
        COMPILED
            .with(|(schemas, index)| schemas.validate(event, *index).err().map(|error| format!("{error:#}: {event:#}")))
    }

    fn compiled() -> (Schemas, SchemaIndex) {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("events.schema.json", event_schema()).unwrap();
        let index = compiler.compile("events.schema.json", &mut schemas).unwrap();
        (schemas, index)
    }

    #[test]
    fn events_of_every_kind_match_the_schema() {
        for event in sample::all() {
            assert_eq!(problem(&serde_json::to_value(&event).unwrap()), None);
        }
        let good = serde_json::to_value(&sample::all_pass()[0]).unwrap();
        for (key, bad) in [
            ("seq", json!(-1)),
            ("at-ms", json!("0")),
            ("event", json!("run-begun")),
            ("trials", json!([{"lane": "a"}])),
            ("plugins", json!(null)),
        ] {
            let mut broken = good.clone();
            broken[key] = bad;
            assert!(problem(&broken).is_some(), "{key}");
            broken.as_object_mut().unwrap().remove(key);
            assert!(problem(&broken).is_some(), "without {key}");
        }
    }

    #[test]
    fn unknown_keys_are_allowed_everywhere() {
        for event in sample::all() {
            let mut event = serde_json::to_value(&event).unwrap();
            add_a_key(&mut event);
            assert_eq!(problem(&event), None);
        }
    }

    fn add_a_key(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.values_mut().for_each(add_a_key);
                // The counts of verdicts are a map of numbers.
                if !map.values().all(serde_json::Value::is_number) {
                    map.insert("of-later".into(), json!(["x"]));
                }
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(add_a_key),
            _ => {}
        }
    }
}
