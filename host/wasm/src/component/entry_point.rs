//! Checks the type of a command's entry point before it runs, to report it instead of a trap.

use wasmparser::{CompositeInnerType, ExternalKind, Parser, Payload, TypeRef};
use wasmtime::component::{Component, Type, types::ComponentItem};

use super::{Shape, WasiVersion};

/// What is wrong with the `wasi:cli/run` that the host would call. Completes "`FILE` …"; `None` if it is not a command.
#[must_use]
pub fn entry_point_problem(component: &Component, shape: Shape) -> Option<String> {
    let minor = match shape {
        Shape::Typed => return None,
        Shape::Command(WasiVersion::P1 | WasiVersion::P2) => "wasi:cli/run@0.2.",
        Shape::Command(WasiVersion::P3) => "wasi:cli/run@0.3.",
    };
    let (engine, all) = (component.engine(), component.component_type());
    // The engine uses the newest compatible version.
    let version = |name: &str| semver::Version::parse(name.split_once('@')?.1).ok();
    let exported = all.exports(engine).filter(|(name, _)| name.starts_with(minor));
    let (name, exported) = exported.max_by_key(|(name, _)| version(name))?;
    let problem = match exported.ty {
        ComponentItem::ComponentInstance(instance) => match instance.get_export(engine, "run").map(|run| run.ty) {
            None => "has no `run`",
            Some(ComponentItem::ComponentFunc(run)) => {
                let mut results = run.results();
                match (run.params().len(), results.next(), results.next()) {
                    (0, Some(Type::Result(result)), None) if result.ok().is_none() && result.err().is_none() => {
                        return None;
                    }
                    (0, Some(Type::Result(_)), None) => "has a `run` whose result has values",
                    (0, ..) => "has a `run` that does not return a `result`",
                    _ => "has a `run` that takes parameters",
                }
            }
            Some(_) => "has a `run` that is not a function",
        },
        _ => "is not an interface",
    };
    Some(format!("cannot be run: its `{name}` {problem}; a command has `run: func() -> result`"))
}

/// What is wrong with the `_start` of a core module, completing "`_start` …".
///
/// # Errors
/// The module cannot be read.
pub(super) fn start_problem(module: &[u8]) -> Result<Option<String>, wasmparser::BinaryReaderError> {
    let (mut types, mut functions, mut start) = (Vec::new(), Vec::new(), None);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section {
                    types.extend(group?.into_types().map(|defined| match defined.composite_type.inner {
                        CompositeInnerType::Func(function) => (function.params().len(), function.results().len()),
                        _ => (0, 0),
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(signature) | TypeRef::FuncExact(signature) = import?.ty {
                        functions.push(signature);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for signature in section {
                    functions.push(signature?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    start = start.or(Some(export?).filter(|export| export.name == "_start"));
                }
            }
            // The rest of the module is not needed.
            Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    let Some(start) = start else { return Ok(None) };
    if !matches!(start.kind, ExternalKind::Func | ExternalKind::FuncExact) {
        return Ok(Some("is not a function".to_owned()));
    }
    let signature = functions.get(start.index as usize).and_then(|signature| types.get(*signature as usize));
    let count_of = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    };
    Ok(signature.and_then(|(params, results)| match (count_of(*params, "value"), count_of(*results, "value")) {
        (None, None) => None,
        (Some(params), None) => Some(format!("takes {params}")),
        (None, Some(results)) => Some(format!("returns {results}")),
        (Some(params), Some(results)) => Some(format!("takes {params} and returns {results}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_of_the_wrong_type_is_reported() {
        for (start, expected) in [
            ("(func (export \"_start\"))", None),
            ("(func (export \"_start\") (result i32) unreachable)", Some("returns 1 value")),
            ("(func (export \"_start\") (param i32 i64))", Some("takes 2 values")),
            (
                "(func (export \"_start\") (param i32) (result i32) unreachable)",
                Some("takes 1 value and returns 1 value"),
            ),
            ("(global (export \"_start\") i32 (i32.const 0))", Some("is not a function")),
            ("(import \"a\" \"b\" (func $f (param i32))) (export \"_start\" (func $f))", Some("takes 1 value")),
            ("(func (export \"other\") (param i32))", None),
        ] {
            let module = wat::parse_str(format!("(module {start})")).unwrap();
            assert_eq!(start_problem(&module).unwrap().as_deref(), expected, "{start}");
        }
    }

    #[test]
    fn a_run_of_the_wrong_type_is_reported_by_its_name() {
        let engine = wasmtime::Engine::default();
        let problem = |run: &str, version: &str| {
            let text = format!("(component {run} (export \"wasi:cli/run@{version}\" (instance $i)))");
            entry_point_problem(
                &Component::new(&engine, wat::parse_str(text).unwrap()).unwrap(),
                Shape::Command(WasiVersion::P2),
            )
        };
        let lifted = |core: &str, run: &str| {
            format!(
                "(core module $m (func (export \"f\") {core} unreachable)) (core instance $c (instantiate $m))
                 (func $run {run} (canon lift (core func $c \"f\"))) (instance $i (export \"run\" (func $run)))"
            )
        };
        assert_eq!(problem(&lifted("(result i32)", "(result (result))"), "0.2.0"), None);
        for (run, expected) in [
            (lifted("(result i32)", "(result u32)"), "has a `run` that does not return a `result`"),
            (lifted("", ""), "has a `run` that does not return a `result`"),
            (
                lifted("(param i32) (result i32)", "(param \"a\" u32) (result (result))"),
                "has a `run` that takes parameters",
            ),
            (lifted("(result i32)", "(result (result (error u8)))").replace("(error u8)", ""), ""),
            ("(instance $i)".into(), "has no `run`"),
        ] {
            let problem = problem(&run, "0.2.7");
            if expected.is_empty() {
                assert_eq!(problem, None);
            } else {
                let problem = problem.unwrap();
                assert!(
                    problem.starts_with(&format!("cannot be run: its `wasi:cli/run@0.2.7` {expected}; ")),
                    "{problem}"
                );
            }
        }
    }
}
