//! Classifies what ended a component's call.

use wasmtime::{GcHeapOutOfMemory, ThrownException, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use crate::component::PROC_RAISE;
use crate::sandbox::{Exceeded, RaisedSignal};
use host_model::{Fault, FaultClass, Limits, Shortage};

/// Bytes of a component's last output in a message.
const LAST_WORDS: usize = 2_000;

/// The fault of a call that did not return, unless it exceeded a limit that is noted elsewhere. `last_words` is the end of
/// the component's stderr.
pub(super) fn fault_of(error: &wasmtime::Error, last_words: &str, limits: &Limits) -> Fault {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return Fault::new(FaultClass::Limit, exceeded.to_string());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        let what = "the component has too many open handles (files, streams, timers); its limit is `max-handles`";
        return Fault::new(FaultClass::Limit, what);
    }
    let text = error.root_cause().to_string();
    if let Some(shortage) = error.chain().find_map(Shortage::of) {
        return Fault::of_shortage(format_args!("cannot run the component: {text}"), shortage);
    }
    if text.contains("store handle limit exceeded") {
        let what = "the component has too many open streams, futures and resources; its limit is `max-handles`";
        return Fault::new(FaultClass::Limit, what);
    }
    if error.is::<GcHeapOutOfMemory<()>>() || error.downcast_ref() == Some(&Trap::AllocationTooLarge) {
        return Fault::new(
            FaultClass::Limit,
            "the component's garbage-collected objects exceed their space; its limit is `max-memory`, and 4 GiB",
        );
    }
    if text.contains("resource limit exceeded") {
        return Fault::new(FaultClass::Limit, too_many(&text, limits));
    }
    if text.contains("fuel allocated for hostcalls") {
        return Fault::new(FaultClass::Limit, "the component passes more data to the host in one call than is allowed");
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        let what = format!("the component exited with status {code} instead of returning a verdict");
        return Fault::new(FaultClass::Protocol, with_last_words(what, last_words));
    }
    let what = match error.downcast_ref::<Trap>() {
        _ if has_raised(error) => {
            "the component raised a signal (`proc_raise` of WASI 0.1), and this host has no signals; end the program \
             with `proc_exit` instead"
                .to_owned()
        }
        None if error.is::<ThrownException>() => "the component threw an exception that it does not catch".to_owned(),
        Some(Trap::StackOverflow) => "the component's recursion is too deep: stack overflow".to_owned(),
        Some(trap) => format!("the component trapped: {trap}"),
        None => format!("the component trapped: {text}"),
    };
    Fault::new(FaultClass::Trap, with_last_words(what, last_words))
}

/// The engine's error for a component with too many instances, memories or tables, for a person.
fn too_many(text: &str, limits: &Limits) -> String {
    let what = ["instance", "memory", "table"].into_iter().find(|what| text.contains(&format!(": {what} count")));
    let rule = match what {
        Some("memory") => "it also limits memories, which are fewer when very many attempts run in parallel (`jobs`)",
        Some("table") => "10 tables for each",
        _ => "core instances",
    };
    format!("the component exceeds its limits: {text}; its limit `max-instances` is {} ({rule})", limits.max_instances)
}

/// Whether the trap is that of the host's own `proc_raise`, that of core modules or that of modules that were adapted.
fn has_raised(error: &wasmtime::Error) -> bool {
    if error.is::<RaisedSignal>() {
        return true;
    }
    if error.downcast_ref::<Trap>() != Some(&Trap::UnreachableCodeReached) {
        return false;
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    backtrace.and_then(|trace| trace.frames().first()).and_then(|frame| frame.func_name()) == Some(PROC_RAISE)
}

/// Adds the end of the component's stderr.
#[must_use]
pub fn with_last_words(what: String, stderr: &str) -> String {
    let stderr = stderr.trim_end();
    if stderr.is_empty() {
        return what;
    }
    let end = &stderr[stderr.ceil_char_boundary(stderr.len().saturating_sub(LAST_WORDS))..];
    format!("{what}\nstderr: {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_begin_with_a_whole_character() {
        assert_eq!(with_last_words("w".into(), "aéb \n"), "w\nstderr: aéb");
        let long = format!("é{}", "x".repeat(LAST_WORDS - 1));
        assert_eq!(with_last_words("w".into(), &long), format!("w\nstderr: {}", &long[2..]));
    }
}
