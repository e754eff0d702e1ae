//! Runs live end-to-end scenarios: the application without a command line, as a library to embed.
//!
//! [`app`] has a function for each command: it takes settings, which are plain structs, and returns values. It prints
//! nothing and parses no arguments. [`runner`] is what it is built on: the dispatcher, which orders the events of a run,
//! and the executor of attempts.
//!
//! A program that embeds the host has three duties:
//!
//! - It calls [`app::Helper::parse`] with its arguments before it does anything else: the host starts the program that it
//!   is part of again, to compile plugins and to supervise agents.
//! - It calls the functions within a multi-threaded tokio runtime.
//! - It runs on Linux, as one run at a time: the process becomes the parent of every process that agents leave behind.
//!
//! The functions work on the suite around the current folder. This program makes a plugin, runs it and reads its events:
//!
//! ```standalone_crate
//! use host_core::app::{self, Helper, LoadSettings, RunHooks, RunSettings};
//! use host_model::{Event, EventKind, ExitCode};
//!
//! /// Collects the verdicts of a run.
//! #[derive(Default)]
//! struct Verdicts(Vec<String>);
//!
//! impl RunHooks for Verdicts {
//!     fn event(&mut self, event: &Event) {
//!         if let EventKind::TrialFinished { trial, verdict, .. } = &event.kind {
//!             self.0.push(format!("{trial}: {}", verdict.word()));
//!         }
//!     }
//! }
//!
//! /// A command of WASI 0.2 that does nothing, and passes.
//! const PLUGIN: &str = r#"(component
//!     (core module $module (func (export "run") (result i32) i32.const 0))
//!     (core instance $instance (instantiate $module))
//!     (func $run (result (result)) (canon lift (core func $instance "run")))
//!     (instance $exported (export "run" (func $run)))
//!     (export "wasi:cli/run@0.2.0" (instance $exported)))"#;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let args: Vec<_> = std::env::args_os().collect();
//!     if let Some(helper) = Helper::parse(&args) {
//!         std::process::exit(helper.run().into());
//!     }
//!     let folder = tempfile::tempdir()?;
//!     std::env::set_current_dir(&folder)?;
//!     std::fs::write("hello.wasm", wat::parse_str(PLUGIN)?)?;
//!     let load = LoadSettings { plugins: vec!["hello.wasm".into()], no_cache: true, ..LoadSettings::default() };
//!     let settings = RunSettings { load, ..RunSettings::default() };
//!     let mut verdicts = Verdicts::default();
//!     let runtime = tokio::runtime::Runtime::new()?;
//!     // `()` ignores warnings; another type shows them.
//!     let finished = runtime.block_on(app::run(&settings, &(), &mut verdicts))?;
//!     assert_eq!(finished.code, ExitCode::Ok);
//!     assert_eq!(verdicts.0, ["scripted/hello: pass"]);
//!     assert!(finished.directory.join("events.jsonl").is_file());
//!     Ok(())
//! }
//! ```

pub mod app;
pub mod runner;
