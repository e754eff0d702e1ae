use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};

use super::{adapt::bound, args::CompileModeArgs};
use host_wasm::component::{self, MEMORY_EXCEEDED};

/// How often the process looks at the memory that it takes.
const LOOK: Duration = Duration::from_millis(10);
/// Address space beyond the memory that may be taken: the stacks of threads, and what the allocator sets aside for each.
const SPACE: u64 = 4 << 30;

/// `host compile`: writes the code of the plugin on stdin to stdout. It is bounded, and ends with its parent.
pub(super) fn compile(args: &CompileModeArgs) -> u8 {
    let bounded = bound(args.max_memory.saturating_add(SPACE), None).and_then(|()| watch(args.max_memory));
    match bounded.and_then(|()| work(args.small)) {
        Ok(()) => 0,
        Err(error) => {
            // Without a stderr the exit code still tells.
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn work(small: bool) -> io::Result<()> {
    let mut plugin = Vec::new();
    io::stdin().lock().read_to_end(&mut plugin)?;
    let code = component::compile(&plugin, small).map_err(io::Error::other)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code)?;
    stdout.flush()
}

/// Ends this process where it takes more memory than `most`. The limit of address space could not be as tight: much of
/// that is set aside and never used.
fn watch(most: u64) -> io::Result<()> {
    thread::Builder::new().name("memory".into()).spawn(move || {
        // Without /proc the limit of address space has to do.
        while let Ok(taken) = resident() {
            if taken > most {
                let _ = writeln!(io::stderr(), "{MEMORY_EXCEEDED}");
                let _ = kill_process(getpid(), Signal::KILL);
            }
            thread::sleep(LOOK);
        }
    })?;
    Ok(())
}

/// Bytes of memory that this process takes.
fn resident() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    line.and_then(|kibibytes| kibibytes.parse::<u64>().ok())
        .map(|kibibytes| kibibytes << 10)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_that_a_process_takes_is_known() {
        let before = resident().unwrap();
        let large = vec![1_u8; 64 << 20];
        assert!(resident().unwrap() >= before + (32 << 20));
        drop(large);
    }
}
