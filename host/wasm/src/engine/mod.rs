//! The only place that configures wasmtime: pooling, epochs, limits and the compile cache.

mod account;
mod cache;
mod code;
mod error_text;
mod http_limits;
mod limiter;
mod proposals;
mod stacks;
mod store;
mod survey;
mod ticker;

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use account::{Account, Exceeded, Mappings, Reservation};
use cache::Artifact;
pub use cache::{Cache, CacheError, ContentKey};
pub use code::{Code, CodeKind};
pub use error_text::causes;
pub use limiter::Limiter;
pub use proposals::{features, missing_proposals};
use stacks::Stacks;
pub use store::{HTTP_CHUNK, add_wasi, http_ctx, store};
pub use survey::Survey;
use ticker::Ticker;
use wasmtime::{Collector, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The engine's version.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// The most attempts that one engine runs at once.
pub const MAX_SLOTS: usize = host_model::MAX_JOBS;

/// How often guest code is interrupted, to let others run and to notice the end of its attempt.
pub const EPOCH: Duration = Duration::from_millis(5);

/// Frames of a trap's backtrace, from the innermost on.
const BACKTRACE_FRAMES: usize = 64;

/// Bytes of a stack that guest code can fill.
const MAX_WASM_STACK: usize = 512 << 10;

/// Additional slots, while the kernel is still clearing others.
const SPARE_SLOTS: u32 = 8;
/// The size of a pooled slot for one component instance; larger components are allocated on demand.
const POOLED_CORE_INSTANCES: u32 = 5;
const POOLED_MEMORIES: u32 = 1;
/// The heap for garbage-collected objects occupies a memory in each store that needs one.
const POOLED_GC_HEAPS: u32 = 1;
const POOLED_TABLES: u32 = 2;
const POOLED_TABLE_ELEMENTS: usize = 20_000;

/// Compiles and runs components and core modules. Cheap to clone; every clone shares the same engines.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// A plugin that was compiled before.
pub struct CachedCode {
    /// Its code.
    pub code: Code,
    /// SHA-256 of what it was made from, in hexadecimal digits.
    pub source_digest: String,
}

struct Inner {
    pooled: wasmtime::Engine,
    on_demand: wasmtime::Engine,
    shortage: Option<String>,
    mappings: Mappings,
    _ticker: Ticker,
}

/// The engine could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine")]
pub struct EngineError(#[source] pub wasmtime::Error);

impl Engine {
    /// An engine whose pool can run `slots` attempts in parallel, up to [`MAX_SLOTS`]. Without enough address space it has
    /// no pool ([`Engine::shortage`]).
    ///
    /// # Errors
    /// [`EngineError`] when the processor is not supported.
    pub fn new(slots: usize) -> Result<Self, EngineError> {
        // Guests cause WASI errors by the thousand, and with RUST_BACKTRACE=1 each would walk the host's stack. The result
        // is never shown; the guest's frames are in `WasmBacktrace`.
        wasmtime::error::disable_backtrace();
        let slots = u32::try_from(slots.clamp(1, MAX_SLOTS)).unwrap_or(u32::MAX);
        let (pooled, on_demand, shortage) = match wasmtime::Engine::new(config().allocation_strategy(pool(slots))) {
            Ok(pooled) => (pooled, wasmtime::Engine::new(&config()).map_err(EngineError)?, None),
            Err(short) => {
                let small = || wasmtime::Engine::new(&small_config()).map_err(EngineError);
                (small()?, small()?, Some(format!("{short:#}")))
            }
        };
        let ticker = Ticker::start(&[&pooled, &on_demand], EPOCH).map_err(|error| EngineError(error.into()))?;
        let mappings = Mappings::share(slots);
        Ok(Self { inner: Arc::new(Inner { pooled, on_demand, shortage, mappings, _ticker: ticker }) })
    }

    /// Why there is no pool, if there is none.
    #[must_use]
    pub fn shortage(&self) -> Option<&str> {
        self.inner.shortage.as_deref()
    }

    /// How many mappings of the process's address space one attempt may have.
    #[must_use]
    pub fn mappings(&self) -> Mappings {
        self.inner.mappings
    }

    /// The plugin that `cache` has for `key`, if it is valid. `pooled` must be as when it was compiled.
    #[must_use]
    pub fn cached(&self, key: &ContentKey, pooled: bool, cache: Option<&Cache>) -> Option<CachedCode> {
        let (artifact, source_digest) = cache?.find(&self.inner.on_demand, key)?;
        Some(CachedCode { code: self.load(&artifact, pooled)?, source_digest })
    }

    /// Loads compiled code, and saves it in `cache` for [`Engine::cached`]. It uses the pool if it may (`pooled`, see
    /// [`Survey::fits_pool`]) and fits a slot; otherwise it is allocated on demand. The `artifact` must come from
    /// [`precompile`] in the host's own subprocess. It was made from `key`, and `source_digest` is the SHA-256 of its
    /// source in hexadecimal digits.
    ///
    /// # Errors
    /// It is not for this engine. A cache that cannot be written only costs time.
    pub fn load_compiled(
        &self,
        kind: CodeKind,
        artifact: &[u8],
        key: &ContentKey,
        source_digest: &str,
        pooled: bool,
        cache: Option<&Cache>,
    ) -> wasmtime::Result<Code> {
        let engine = &self.inner.on_demand;
        let cached = cache.and_then(|cache| cache.store(engine, key, source_digest, artifact));
        if let Some(code) = cached.and_then(|cached| self.load(&cached, pooled)) {
            return Ok(code);
        }
        // SAFETY: these bytes were just made by an engine with the same compiler settings.
        let deserialized = |engine| unsafe { kind.deserialize(engine, artifact) };
        let in_pool = pooled.then(|| deserialized(&self.inner.pooled).ok()).flatten();
        in_pool.map_or_else(|| deserialized(engine), Ok)
    }

    fn load(&self, artifact: &Artifact, pooled: bool) -> Option<Code> {
        // The pool refuses a component that does not fit a slot.
        let in_pool = pooled.then(|| artifact.map(&self.inner.pooled)).flatten();
        in_pool.or_else(|| artifact.map(&self.inner.on_demand))
    }

    /// The wasmtime engines, the pooled one first; each needs its own linkers.
    #[must_use]
    pub fn wasmtime(&self) -> [&wasmtime::Engine; 2] {
        [&self.inner.pooled, &self.inner.on_demand]
    }
}

/// Whether the compiler has its threads. It would start them itself, and panic if it cannot.
fn has_compiler_threads() -> bool {
    static MADE: OnceLock<bool> = OnceLock::new();
    *MADE.get_or_init(|| rayon_core::ThreadPoolBuilder::new().build_global().is_ok())
}

/// Compiles a component or a core module for every [`Engine`]; if `small`, for one without a pool.
///
/// # Errors
/// The compiler's error.
pub fn precompile(kind: CodeKind, small: bool, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut config = if small { small_config() } else { config() };
    config.parallel_compilation(has_compiler_threads());
    kind.precompile(&wasmtime::Engine::new(&config)?, bytes)
}

/// The proposals of WebAssembly are those that [`features`] names: wasmtime's own choice.
fn config() -> Config {
    let mut config = Config::new();
    config
        // Frees cycles too, which reference counting would not. The store's limiter bounds the heap.
        .collector(Collector::Copying)
        .epoch_interruption(true)
        .async_stack_size(2 << 20)
        .max_wasm_stack(MAX_WASM_STACK)
        .with_host_stack(Arc::new(Stacks))
        .parallel_compilation(true)
        .memory_init_cow(true)
        // This costs nothing until a trap.
        .coredump_on_trap(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        .wasm_component_model_async(true)
        .concurrency_support(true);
    config
}

/// For little address space: memories reserve no more than they use, and every access is checked.
fn small_config() -> Config {
    let mut config = config();
    config.memory_reservation(0).memory_guard_size(0).memory_reservation_for_growth(1 << 20);
    config
}

fn pool(attempts: u32) -> InstanceAllocationStrategy {
    let slots = attempts.saturating_add(SPARE_SLOTS);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(POOLED_CORE_INSTANCES))
        .max_core_instances_per_component(POOLED_CORE_INSTANCES)
        .total_memories(slots.saturating_mul(POOLED_MEMORIES + POOLED_GC_HEAPS))
        .total_gc_heaps(slots.saturating_mul(POOLED_GC_HEAPS))
        .max_memories_per_component(POOLED_MEMORIES)
        .max_memories_per_module(POOLED_MEMORIES)
        .total_tables(slots.saturating_mul(POOLED_TABLES))
        .max_tables_per_component(POOLED_TABLES)
        .max_tables_per_module(POOLED_TABLES)
        .table_elements(POOLED_TABLE_ELEMENTS)
        .total_stacks(slots.saturating_mul(2))
        .linear_memory_keep_resident(128 << 10)
        .pagemap_scan(Enabled::Auto)
        // A slot must be free as soon as its attempt has ended: batched, it would be free some attempts later, and a full
        // pool is an error.
        .decommit_batch_size(1);
    InstanceAllocationStrategy::Pooling(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs itself again with the variable set, since the standard library reads it only once.
    #[test]
    fn errors_of_guests_do_not_walk_the_hosts_stack() {
        const NAME: &str = "engine::tests::errors_of_guests_do_not_walk_the_hosts_stack";
        use std::backtrace::{Backtrace, BacktraceStatus};
        if std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value != "1") {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", NAME]).env("RUST_BACKTRACE", "1").env_remove("RUST_LIB_BACKTRACE");
            let output = again.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        assert_eq!(Backtrace::capture().status(), BacktraceStatus::Captured, "a panic still has one");
        let _engine = Engine::new(1).unwrap();
        assert_eq!(wasmtime::Error::msg("an error").backtrace().status(), BacktraceStatus::Disabled);
    }

    #[test]
    fn the_named_version_is_the_linked_one() {
        let lock = include_str!("../../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"")));
    }
}
